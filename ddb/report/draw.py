"""How a chart looks: as a matplotlib figure, as an image for a page, as PNG and PDF; and the overview figure's panels.

Colour means the method and nothing else: each has its own in every picture, with a marker of its own. What is no method
(a metric, a quantity, an amplifier's images) is told apart by marker, line and shade of grey.
"""

from __future__ import annotations

import base64
import io
import textwrap
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ddb.errors import DDBError
from ddb.report.charts import Chart, Line, color_rank

DPI = 150
LONGEST = 80  # characters of a label
WIDTH, HEIGHT = 7.2, 4.6  # inches of a panel
ROWS_WIDTH, ROW = 11.0, 0.4  # inches of a chart of accuracies, and of one of its rows
MOST = 14.0  # inches of all panels together
COLORS = [
    matplotlib.colormaps["tab20"](n) for n in (*range(0, 20, 2), *range(1, 20, 2)) if n not in (14, 15)
]  # no grey
GREYS = ("#000000", "#7a7a7a", "#444444", "#a5a5a5")
MARKERS = "osD^vPX<>*"
DASHES = ("-", "--", ":", "-.")
STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # a class or method may be called "$x$"
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # TrueType: text that can be searched and copied
    "svg.hashsalt": "ddb",  # the same numbers give the same bytes
}


def chart_figure(chart: Chart, note: str | None = None) -> Figure:
    """The chart with its title and note; draws nothing on a screen."""
    note = textwrap.fill(chart.note if note is None else note, 118)
    height = (1.6 + ROW * len(chart.rows) if chart.rows else HEIGHT) + 0.15 * note.count("\n")
    labels = {shortened(line.label) for lines in chart.panels.values() for line in lines}
    width = ROWS_WIDTH if chart.rows else min(MOST, WIDTH * len(chart.panels))
    columns = max(1, int(13 * width / (8 + max(map(len, labels)))))
    height += 0.2 * (len(labels) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(chart.panels), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (title, lines) in zip(panels, chart.panels.items(), strict=True):
            axes.set_title(title)
            draw_rows(axes, chart) if chart.rows else draw_lines(axes, lines, chart)
            axes.set_xlabel(chart.x_label)
        panels[0].set_ylabel(chart.y_label)
        handles: dict[str, object] = {}
        for axes in panels:
            drawn, names = axes.get_legend_handles_labels()
            handles |= dict(zip(map(shortened, names), drawn, strict=True))
        above = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.07 if any(chart.panels) else 1.0)}
        panels[0].legend(handles.values(), handles, ncols=columns, frameon=False, fontsize=9, **above)
        figure.suptitle(textwrap.fill(chart.title, 75), x=0.01, ha="left", fontsize=11, fontweight="bold")
        if note:
            figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color="#555555")
    return figure


def shortened(label: str) -> str:
    """At most LONGEST characters."""
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"


def draw_lines(axes: Axes, lines: list[Line], chart: Chart) -> None:
    """Means with whiskers of one standard deviation, joined in the order of x."""
    for line, style in zip(lines, _styles(lines), strict=True):
        points = line.points
        if line.reference:
            axes.axhline(points["mean"].iloc[0], label=line.label, color=style["color"], linestyle=(0, (6, 4)))
            continue
        spread = points["std"].fillna(0)
        axes.errorbar(points["x"], points["mean"], spread, label=line.label, capsize=2.5, elinewidth=1, **style)
    values = sorted({x for line in lines if not line.reference for x in line.points["x"]})
    if chart.log_x and values:
        smallest = min((x for x in values if x > 0), default=1)
        axes.set_xscale("log") if values[0] > 0 else axes.set_xscale("symlog", linthresh=smallest, linscale=0.4)
    if 1 < len(values) <= 10:
        axes.xaxis.set_major_locator(FixedLocator(values))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", alpha=0.25)


def draw_rows(axes: Axes, chart: Chart) -> None:
    """A row of the table below the other, its accuracies as points; the x axis holds what there is."""
    (lines,) = chart.panels.values()
    for line, style in zip(lines, _styles(lines), strict=True):
        points = line.points
        if line.reference:
            axes.axvline(points["mean"].iloc[0], label=line.label, color="#7a7a7a", linestyle=(0, (6, 4)), zorder=0)
            continue
        style = style | {"linestyle": "none", "markersize": 7}
        spread = points["std"].fillna(0)
        axes.errorbar(points["mean"], points["x"], xerr=spread, label=line.label, capsize=2.5, elinewidth=1, **style)
        for x, y in zip(points["mean"], points["x"], strict=True):
            axes.annotate(f"{x:.1f}", (x, y), (0, 7), "data", "offset points", ha="center", fontsize=7.5)
    axes.set_yticks(range(len(chart.rows)), [textwrap.fill(shortened(row), LONGEST // 2) for row in chart.rows])
    axes.set_ylim(len(chart.rows) - 0.4, -0.6)  # the first row on top
    axes.grid(axis="both", alpha=0.25)
    axes.tick_params(axis="y", length=0)


def _styles(lines: list[Line]) -> list[dict]:
    """Of lines of one method, the dash tells which is which, and all but the first are hollow."""
    seen: dict[str, int] = {}
    styles = []
    for number, line in enumerate(lines):
        rank = color_rank(line.method)
        variant = seen.setdefault(line.method, 0) if rank is not None else number
        seen[line.method] = variant + (not line.reference)
        color = GREYS[number % len(GREYS)] if rank is None else COLORS[rank % len(COLORS)]
        marker = MARKERS[(number if rank is None else rank) % len(MARKERS)]
        face = "white" if variant and rank is not None else color
        styles.append({"color": color, "marker": marker, "markersize": 5.5, "markerfacecolor": face,
                       "linestyle": DASHES[variant % len(DASHES)]})  # fmt: skip
    return styles


def chart_uri(chart: Chart) -> str:
    """The chart without its note as a data URI of an SVG image, for a page that has the note as text."""
    file = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        chart_figure(chart, "").savefig(file, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"


def save(chart: Chart, directory: str | Path) -> list[Path]:
    """Write <name>.png and <name>.pdf. Raises DDBError where that cannot be done."""
    paths = [Path(directory) / f"{chart.name}.{suffix}" for suffix in ("png", "pdf")]
    write(chart_figure(chart), paths)
    return paths


def write(figure: Figure, paths: list[Path]) -> None:
    """Write a figure as PNG or PDF, by the names of the files, without a date. Raises DDBError if that fails."""
    for path in paths:
        as_pdf = path.suffix == ".pdf"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with matplotlib.rc_context(STYLE):
                metadata = {"CreationDate": None} if as_pdf else None
                figure.savefig(path, dpi=DPI, format="pdf" if as_pdf else "png", metadata=metadata)
        except OSError as error:
            raise DDBError(f"figure {path} cannot be written: {error.strerror}") from None
