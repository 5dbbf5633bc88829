"""The whole argument in one picture: what the CDPM draws, what the amplifier forgets, what the methods reach.

    draw(graph, store, "results/colored_digits.png")

Top left, real images beside synthetic ones; top right, the memorisation of the amplifiers; below, each row's
accuracies. What is not finished is said to be missing, so the figure can be drawn while a run is under way; what an
experiment does not have is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from ddb.experiment.results import Results
from ddb.report.charts import accuracies, memorisation
from ddb.report.draw import ROW, STYLE, draw_lines, draw_rows, write
from ddb.report.report_images import CLASSES, gallery
from ddb.store import Store

if TYPE_CHECKING:
    from ddb.experiment.graph import Graph

WIDTH, TOP_HEIGHT, MARGIN_HEIGHT = 12.0, 5.0, 1.3  # inches; the last: title and axis of the lower panel
COLUMNS = 10  # images side by side, shared out over the classes
GUIDANCES = 4  # synthetic sets shown
TILE, GAP = 64, 5  # pixels of one image and between two in the montage
GREY = "#555555"


def draw(graph: Graph, store: Store, *paths: str | Path) -> None:
    """Write the figure, as PDF where a path ends in .pdf, else as PNG 1800 pixels wide; without a date in it.

    Raises DDBError where a path cannot be written.
    """
    found, dataset = Results(graph, store), graph.cells[0].dataset
    below, beside = accuracies(found, dataset), memorisation(found, dataset)
    bottom = MARGIN_HEIGHT + ROW * max([len(chart.rows) for chart in below], default=1)
    style: dict[Any, Any] = STYLE | {"axes.titleweight": "bold", "axes.titlelocation": "left"}
    with matplotlib.rc_context(style):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
        figure = Figure(figsize=(WIDTH, TOP_HEIGHT + bottom), layout=layout)
        FigureCanvasAgg(figure)
        halves: Any = figure.subfigures(2, 1, height_ratios=(TOP_HEIGHT, bottom))
        upper, lower = halves
        images, *rest = np.atleast_1d(upper.subplots(1, 1 + len(beside), width_ratios=(7, 5)[: 1 + len(beside)]))
        _draw_images(images, graph, store)
        for chart, axes in zip(beside, rest, strict=True):
            draw_lines(axes, chart.panels[""], chart)
            axes.set(title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label, ylim=(-3, 103))
            axes.legend(loc="center right", frameon=False)
        axes = lower.subplots()
        axes.set_title("Accuracy on the test set")
        if not below:
            _note(axes, "no method is finished yet")
        for chart in below:
            draw_rows(axes, chart)
            axes.set_xlabel(f"{chart.x_label}\n{chart.note}")
            axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=5, frameon=False, fontsize=8.5)
        write(figure, [Path(path) for path in paths])


def _draw_images(axes: Axes, graph: Graph, store: Store) -> None:
    """A montage: a column block for each class; row blocks for real images and each guidance's synthetic ones."""
    axes.set_title("Real and synthetic images" if graph.synthetic else "Training images")
    wide = max(1, COLUMNS // len(_class_names(graph, store) or " "))  # images of a class side by side
    found = gallery(graph, store, 2 * wide, GUIDANCES, TILE)
    if not found:
        _note(axes, "the data set is not prepared yet")
        return
    high = 2 if len(found.strips) <= 4 else 1  # and below each other
    gap = np.full((high * (TILE + GAP), 3 * GAP, 3), 255, np.uint8)
    rows = [np.hstack([each for part in strip.parts for each in (_tiles(part, wide, high), gap)][:-1])
            for strip in found.strips]  # fmt: skip
    space = np.full((3 * GAP, rows[0].shape[1], 3), 255, np.uint8)
    axes.imshow(np.vstack([each for row in rows for each in (row, space)][:-1]), interpolation="nearest")
    step, down = wide * (TILE + GAP) + 3 * GAP, high * (TILE + GAP) + 3 * GAP
    axes.set_xticks([step * i + wide * (TILE + GAP) / 2 for i in range(len(found.classes))], found.classes)
    titles = ["\n".join([strip.title, *strip.detail.split(", ")]) for strip in found.strips]
    axes.set_yticks([down * i + high * (TILE + GAP) / 2 for i in range(len(rows))], titles)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    if max(map(len, found.classes)) > 8 * wide:  # names that would run into each other
        for label in axes.get_xticklabels():
            label.set(rotation=30, ha="left", rotation_mode="anchor")
    axes.spines[:].set_visible(False)
    axes.set_anchor("N")
    axes.set_xlabel("\n".join(found.notes), style="italic", color=GREY)


def _class_names(graph: Graph, store: Store) -> tuple[str, ...]:
    known = store.read_json(graph.data, "dataset")
    return tuple(known["classes"][:CLASSES]) if known else ()


def _tiles(images: np.ndarray, wide: int, high: int) -> np.ndarray:
    """The first of (K, S, S, 3): (high * (TILE + GAP), wide * (TILE + GAP), 3) uint8, white where there are none."""
    canvas = np.full((high * (TILE + GAP), wide * (TILE + GAP), 3), 255, np.uint8)
    for position, image in enumerate(images[: wide * high]):
        y, x = (TILE + GAP) * (position // wide), (TILE + GAP) * (position % wide)
        # Pixels of small images stay visible as squares.
        enlarged = Image.fromarray(image).resize((TILE, TILE), Image.Resampling.NEAREST)
        canvas[y : y + TILE, x : x + TILE] = np.asarray(enlarged)
    return canvas


def _note(axes: Axes, text: str) -> None:
    """A panel that has nothing to show says why."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", style="italic", color=GREY)
