"""Finished stages -> tables, figures and pages. Reads the store only: it works while a run is under way."""

from ddb.report.paired import differences, render_differences
from ddb.report.render import FORMATS, render, terminal_tables
from ddb.report.table import Row, rows
from ddb.report.titles import METRICS

__all__ = ["FORMATS", "METRICS", "Row", "differences", "render", "render_differences", "rows", "terminal_tables"]
