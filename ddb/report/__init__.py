"""Finished stages -> tables and a figure. Reads the store only: it works while a run is under way."""

from ddb.report.render import FORMATS, render, terminal_table
from ddb.report.table import METRICS, Row, rows

__all__ = ["FORMATS", "METRICS", "Row", "render", "rows", "terminal_table"]
