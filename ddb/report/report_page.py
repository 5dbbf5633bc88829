"""An experiment as one HTML page: its tables, pictures, curves and costs, and where every number comes from.

    Path("report.html").write_text(render_report(graph, store), encoding="utf-8")

One file that needs no network. Its policy allows the page's own script, which sorts tables, by its hash and nothing
else, so that nothing in a name can bring one in. What is not finished is said to be missing, so the page can be made
while a run is under way. What is gathered: `ddb.report.report_data`, `report_images`, `charts`, `costs`.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ddb.experiment.results import Results
from ddb.progress import duration
from ddb.report.charts import Chart, charts
from ddb.report.costs import costs
from ddb.report.draw import chart_uri
from ddb.report.page import fill
from ddb.report.render import shared_columns
from ddb.report.report_data import Report
from ddb.report.report_images import CARD, TILE, conflicts, gallery
from ddb.report.sheets import Sheet, sheets
from ddb.report.titles import METRICS, NONE, TITLES, value_text
from ddb.store import Store

if TYPE_CHECKING:
    from ddb.experiment.graph import Graph

NUMBER = re.compile(r"([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)((?: ± [\d.]+)?(?: \(\d+\))?)")  # mean; ± std (n)


@dataclass(frozen=True)
class Table:
    """A sheet for the page: what all lines share stands before it, and the column that names the line comes first."""

    shared: list[tuple[str, str]]  # title and value
    header: list[tuple[str, bool]]  # title, and whether the column is sorted as numbers
    lines: list[list[str]]
    caption: str


def render_report(graph: "Graph", store: Store, command: str | None = None) -> str:
    """The page as text that can be written as UTF-8; `command` makes the experiment again, where it is known."""
    found = Results(graph, store)
    report = Report(found)
    rows = [entry.row for entry in report.rows]
    accuracies, *signals = [_table(sheet) for sheet in sheets(rows)]
    filters = {
        "duration": _duration,
        "moment": _moment,
        "plain_json": lambda value: json.dumps(value, indent=1),
        "percent": lambda share: NONE if share is None else f"{100 * share:.2f}",
        "policy_hash": _policy_hash,
        "rounded": _rounded,
        "sort_value": _sort_value,
        "split_number": _split_number,
        "sprite": _sprite,
    }
    return fill(
        "report.html.j2",
        filters,
        report=report,
        accuracies=accuracies,
        signals=signals[0] if signals else None,
        gallery=gallery(graph, store),
        conflicts=conflicts(graph, store),
        charts=[(chart, chart_uri(chart), _chart_tables(chart)) for chart in charts(found)],
        costs=costs(graph, store),
        bias_labels=any(cell.config.dataset.bias_labels for cell in graph.cells),
        metrics={name: TITLES[name] for name in METRICS},
        command=command,
        store=str(store.root),
        written=_moment(datetime.now(timezone.utc).isoformat(timespec="seconds")),
        TILE=TILE,  # smaller images are shown enlarged, with their pixels as squares
        CARD=CARD,
    )


def _table(sheet: Sheet) -> Table:
    """The sheet with the method, or else the data set, in its first column."""
    texts = {i: {line[i] for line in sheet.lines} for i in range(len(sheet.header))}
    shared = shared_columns(sheet)
    columns = [i for i in range(len(sheet.header)) if i not in shared]
    columns.sort(key=lambda i: sheet.header[i] != "method")
    header = [(sheet.header[i], all(cell == NONE or NUMBER.fullmatch(cell) for cell in texts[i])) for i in columns]
    lines = [[line[i] for i in columns] for line in sheet.lines]
    return Table([(sheet.header[i], next(iter(texts[i]))) for i in shared], header, lines, sheet.caption)


def _chart_tables(chart: Chart) -> dict[str, list[list[str]]]:
    """The numbers of each panel as text, header first: one line for each x, one column for each line of the chart."""
    tables = {}
    for title, lines in chart.panels.items():
        points = [line.points.set_index("x") for line in lines]
        table = [["" if chart.rows else chart.x_label, *(line.label for line in lines)]]
        for x in sorted({x for each in points for x in each.index}):
            cells = [_percent(each.loc[x]) if x in each.index else NONE for each in points]
            table.append([chart.rows[int(x)] if chart.rows else value_text(float(x)), *cells])
        tables[title] = table
    return tables


def _percent(point: pd.Series) -> str:
    spread = "" if np.isnan(point["std"]) else f" ± {point['std']:.1f}"
    return f"{point['mean']:.1f}{spread} ({point['n']:.0f})"


def _sort_value(cell: str) -> str:
    """What a cell is sorted by: the number that it begins with, else its text; nothing for a dash, which comes last."""
    if cell == NONE:
        return ""
    found = NUMBER.fullmatch(cell)
    return found[1] if found else cell


def _split_number(cell: str) -> tuple[str, str]:
    """`87.3` and ` ± 1.2 (3)`; other text whole."""
    found = NUMBER.fullmatch(cell)
    return (found[1], found[2]) if found else (cell, "")


def _duration(seconds: float | None) -> str:
    """Seconds below a minute with one decimal; a dash for None."""
    return NONE if seconds is None else f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def _rounded(seconds: float) -> str:
    """The same in few words, for a heading."""
    return f"{seconds / 60:.0f} min" if 60 <= seconds < 3570 else duration(seconds)


def _moment(text: str) -> str:
    """A record's time in UTC, to the second."""
    return datetime.fromisoformat(text).astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _policy_hash(script: str) -> str:
    """How the page's policy names a script that may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _sprite(images: np.ndarray, columns: int) -> np.ndarray:
    """(K, S, S, 3) side by side with transparent gaps, as wide as `columns` images: (S, W, 4) uint8."""
    size = images.shape[1]
    step = size + max(1, size // 16)
    canvas = np.zeros((size, columns * step, 4), np.uint8)
    for position, image in enumerate(images):
        canvas[:, position * step : position * step + size] = np.dstack([image, np.full((size, size), 255, np.uint8)])
    return canvas
