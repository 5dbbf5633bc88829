"""Finished stages -> tables, figures and pages. Reads the store only: it works while a run is under way."""

from ddb.report.render import FORMATS, render, terminal_tables
from ddb.report.table import METRICS, Row, rows

__all__ = ["FORMATS", "METRICS", "Row", "render", "rows", "terminal_tables"]
