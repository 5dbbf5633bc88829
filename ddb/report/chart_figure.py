"""A chart of lines and how it looks: as a matplotlib figure, as SVG for a page, as PNG and PDF.

    save(chart, "charts")       # the same numbers give the same bytes: no dates
    chart_svg(chart)            # one <svg> element; black is the page's own text colour, for light and dark

Methods have Okabe and Ito's colours, and a marker each; values of a second numeric setting go from dark to light, and
are written at the ends of their lines.
"""

import io
import re
import textwrap
from dataclasses import dataclass
from html import escape
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ddb.errors import DDBError
from ddb.report.figure import BLUE, DPI, GREEN, GREY, ORANGE
from ddb.report.figure import STYLE as OVERVIEW

STYLE = OVERVIEW | {
    "pdf.fonttype": 42,  # TrueType: text that can be searched and copied
    "svg.fonttype": "none",
}
WIDTH, HEIGHT = 7.2, 4.6  # inches, without what many labels need
AROUND = 100.0  # points of a figure's height above and below its axes, without the note
LABEL = 13.0  # points from one label at a line's end to the next
COLORS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito's but yellow
MARKERS = "osD^vPX<>"
DASHES = ("-", ":", "-.", (0, (4, 1, 1, 1, 1, 1)))  # variants of a family
DASHED = (0, (6, 4))  # a reference line
SCALE = matplotlib.colormaps["viridis"]
SCALE_ENDS = (0.22, 0.85)  # beyond these it is lost on a dark page, or on a light one
LONGEST = 60  # characters of a label


@dataclass(frozen=True)
class Series:
    """One line. `mean` and `std` are fractions, as in the store; they are drawn as percent."""

    label: str
    x: list[float]  # ascending; of a reference line the two ends of what was varied
    mean: list[float]
    std: list[float | None]  # over seeds, ddof 1; None for n = 1
    n: list[int]  # seeds behind each mean
    family: str = ""  # lines of one family share colour and marker: a method, a quantity; "": one of its own
    variant: str = ""  # tells lines of one family apart
    level: float | None = None  # value of the second numeric setting, which the colour then shows
    reference: bool = False  # not touched by the setting on the x axis: a dashed line all across


@dataclass(frozen=True)
class Chart:
    """Lines that share their axes."""

    name: str  # file stem, unique in the experiment: letters, digits, "_", "-" and "."
    title: str
    x_label: str
    y_label: str
    log_x: bool  # where there is a zero, it has a place to the left of the smallest positive value
    series: list[Series]
    note: str  # what the band is, n, and what is missing
    level_label: str = ""  # what the levels are; "" where no series has one
    whole: bool = False  # the y axis goes from 0 to 100 %, whatever the numbers


def chart_figure(chart: Chart) -> Figure:
    """The chart with its title and note; draws nothing on a screen."""
    return _figure(chart, chart.note)


def chart_svg(chart: Chart) -> str:
    """One <svg> element to put into a page, as wide as there is room; without the note, which the page has as text.

    Ids begin with the chart's name, so that charts of different names can share a page.
    """
    figure, file = _figure(chart, ""), io.StringIO()
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": chart.name}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :].strip()
    # Its only style rule is for every element of whatever page it is in; here it becomes the root's, for its own.
    text = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL)
    prefix = re.sub(r"[^A-Za-z0-9_-]", "-", chart.name)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", text)
    text = text.replace("#000000", "currentColor")
    width, height = (float(size) for size in re.findall(r'\b(?:width|height)="([\d.]+)pt"', text)[:2])
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'viewBox="0 0 {width:g} {height:g}" fill="currentColor" '
        'style="width: 100%; height: auto; stroke-linejoin: round; stroke-linecap: butt">'
        f"<title>{escape(chart.title)}</title>"
    )
    return head + text[text.index(">") + 1 :]


def save(chart: Chart, directory: str | Path) -> list[Path]:
    """Write <name>.png and <name>.pdf. Raises DDBError where that cannot be done."""
    paths = [Path(directory) / f"{chart.name}.{suffix}" for suffix in ("png", "pdf")]
    figure = chart_figure(chart)
    try:
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context(STYLE):
            figure.savefig(paths[0], dpi=DPI)
            figure.savefig(paths[1], metadata={"CreationDate": None})
    except OSError as error:
        raise DDBError(f"chart {paths[0]} cannot be written: {error.strerror}") from None
    return paths


def _figure(chart: Chart, note: str) -> Figure:
    note = textwrap.fill(note.replace("n = ", "n\u00a0=\u00a0"), 118)  # "n = 3" stays on one line
    around = AROUND + 10.5 * len(note.splitlines())  # points of the height
    if chart.level_label:
        height = max(HEIGHT, (around + (len(chart.series) + 1) * LABEL) / 72)
    else:
        height = HEIGHT + (len(chart.series) - 1) // _columns(chart.series) * LABEL / 72
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
        axes = figure.add_subplot()
        styles = _styles(chart.series)
        handles = [_line(axes, series, **style) for series, style in zip(chart.series, styles, strict=True)]
        _scale(axes, chart)
        axes.set_xlabel(chart.x_label)
        axes.set_ylabel(chart.y_label)
        axes.grid(axis="y", alpha=0.25)
        figure.suptitle(textwrap.fill(chart.title, 75), x=0.01, ha="left", fontsize=11, fontweight="bold")
        if chart.level_label:
            _label_ends(axes, chart, styles, LABEL / (72 * height - around))
        else:
            _legend(axes, chart.series, handles)
        if note:
            figure.supxlabel(note, x=0.01, ha="left", fontsize=8, alpha=0.7)
    return figure


def _styles(series: list[Series]) -> list[dict]:
    """Colour, marker and dash of each line. Lines of a family differ in dash, and all but the first are hollow."""
    families = list(dict.fromkeys(line.family or line.label for line in series))
    variants = list(dict.fromkeys(line.variant for line in series if not line.reference))
    levels = sorted({line.level for line in series} - {None})
    styles = []
    for line in series:
        rank = families.index(line.family or line.label)
        color, variant = COLORS[rank % len(COLORS)], variants.index(line.variant) if line.variant in variants else 0
        if line.level is not None:
            rank, variant = levels.index(line.level), 0
            color = SCALE(SCALE_ENDS[0] + (SCALE_ENDS[1] - SCALE_ENDS[0]) * rank / max(len(levels) - 1, 1))
        elif levels:
            color = GREY
        dash = DASHED if line.reference else DASHES[variant % len(DASHES)]
        styles.append({"color": color, "marker": MARKERS[rank % len(MARKERS)], "dash": dash, "hollow": variant > 0})
    return styles


def _line(axes: Axes, line: Series, color, marker: str, dash, hollow: bool):
    """Draw one line with its band; returns what stands for it in the legend."""
    mean = 100 * np.array(line.mean)  # (P,)
    std = 100 * np.array([np.nan if value is None else value for value in line.std])  # (P,)
    if line.reference:
        if line.std[0] is not None:
            axes.axhspan(mean[0] - std[0], mean[0] + std[0], color=color, alpha=0.12, linewidth=0)
        return axes.axhline(mean[0], color=color, linestyle=dash, linewidth=1.5)
    alpha = 0.15 if line.level is None else 0.06  # there may be many of them
    axes.fill_between(line.x, mean - std, mean + std, color=color, alpha=alpha, linewidth=0)
    known = np.pad(~np.isnan(std), 1)  # a band needs two neighbours; a point that has none gets a whisker
    alone = known[1:-1] & ~known[:-2] & ~known[2:]
    x = np.array(line.x)
    axes.errorbar(x[alone], mean[alone], yerr=std[alone], fmt="none", ecolor=color, elinewidth=1.2, capsize=3)
    face = "none" if hollow else color
    (drawn,) = axes.plot(
        x, mean, linestyle=dash, color=color, marker=marker, markersize=5.5, markerfacecolor=face, linewidth=1.8
    )
    return drawn


def _scale(axes: Axes, chart: Chart) -> None:
    """Axes that hold all of the lines and bands, with ticks at the values themselves where these are few."""
    ends = [m + sign * (s or 0) for line in chart.series for m, s in zip(line.mean, line.std, strict=True)
            for sign in (-1, 1)]  # fmt: skip
    low, high = (0, 100) if chart.whole else (100 * min(ends), 100 * max(ends))
    room = max(0.06 * (high - low), 1.5)
    axes.set_ylim(low - room, min(high + room, max(high, 100) + 0.04 * (high - low)))
    values = sorted({x for line in chart.series if not line.reference for x in line.x})
    if chart.log_x and values[0] > 0:
        axes.set_xscale("log")
    elif chart.log_x:
        axes.set_xscale("symlog", linthresh=min((x for x in values if x > 0), default=1), linscale=0.4)
    scale = axes.xaxis.get_transform()
    first, last = scale.transform([values[0], values[-1]])
    room = 0.04 * (last - first) or 0.5
    axes.set_xlim(scale.inverted().transform([first - room, last + room]))
    if len(values) <= 12:
        axes.xaxis.set_major_locator(FixedLocator(_apart(axes, values)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _apart(axes: Axes, values: list[float]) -> list[float]:
    """Of ascending `values` those whose texts do not run into each other on the x axis."""
    on_axis = axes.transScale + axes.transLimits
    places = on_axis.transform([(x, axes.get_ylim()[0]) for x in values])[:, 0]  # (V,) in [0, 1]
    kept, right = [], -1.0
    for value, place in zip(values, places, strict=True):
        half = 0.01 * len(f"{value:g}")  # of a text at this size, as a fraction of the axis
        if place - half > right:
            kept.append(value)
            right = place + half + 0.01
    return kept


def _columns(series: list[Series]) -> int:
    """Of the legend, as many as have room."""
    longest = max(min(len(line.label), LONGEST) for line in series)
    return max(1, int(95 / (longest + 7)))


def _legend(axes: Axes, series: list[Series], handles: list) -> None:
    """Above the axes."""
    labels = [textwrap.shorten(line.label, LONGEST, placeholder="…") for line in series]
    axes.legend(
        handles, labels, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=_columns(series),
        frameon=False, fontsize=9, handlelength=3.2,
    )  # fmt: skip


def _label_ends(axes: Axes, chart: Chart, styles: list[dict], gap: float) -> None:
    """Write each line's label to the right of the axes, as near to its end as labels `gap` of the axes apart allow."""
    low, high = axes.get_ylim()
    ends = [100 * line.mean[-1] for line in chart.series]
    order = sorted(range(len(ends)), key=lambda i: ends[i])
    *places, top = _spread([*(ends[i] for i in order), max(ends)], (high - low) * gap, low, high)
    for i, place in zip(order, places, strict=True):
        line, color = chart.series[i], styles[i]["color"]
        arrow = {"arrowstyle": "-", "color": color, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 3, "relpos": (0, 0.5)}
        axes.annotate(
            textwrap.shorten(line.label, LONGEST, placeholder="…"), (line.x[-1], ends[i]), (1.05, place), "data",
            ("axes fraction", "data"), va="center", fontsize=9, annotation_clip=False, arrowprops=arrow,
        )  # fmt: skip
    axes.annotate(chart.level_label, (1.05, top), xycoords=("axes fraction", "data"), va="center", fontsize=9,
                  fontweight="bold", annotation_clip=False)  # fmt: skip


def _spread(places: list[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending `places` from `low` to `high`, moved until they are `gap` apart: close ones stand about their mean."""
    blocks: list[tuple[float, int]] = []  # centre and number
    for place in places:
        blocks.append((place, 1))
        while len(blocks) > 1 and blocks[-1][0] - blocks[-2][0] < gap * (blocks[-1][1] + blocks[-2][1]) / 2:
            (upper, m), (lower, n) = blocks.pop(), blocks.pop()
            blocks.append(((lower * n + upper * m) / (n + m), n + m))
    apart = [centre + gap * (i - (number - 1) / 2) for centre, number in blocks for i in range(number)]
    last = len(apart) - 1
    return [min(max(place, low + gap * i), high - gap * (last - i)) for i, place in enumerate(apart)]
