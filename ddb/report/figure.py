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

from ddb.data import Split, prepared
from ddb.diffusion.synthetic import read as read_synthetic
from ddb.experiment.results import Results
from ddb.report.charts import accuracies, memorisation
from ddb.report.draw import ROW, STYLE, draw_lines, draw_rows, write
from ddb.store import Store

if TYPE_CHECKING:
    from ddb.experiment.graph import Graph, SyntheticSet

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
    if not store.has(graph.data):
        _note(axes, "the data set is not prepared yet")
        return
    dataset = prepared.read(store.path(graph.data))
    classes = dataset.classes[:COLUMNS]
    blocks = _real_blocks(dataset["train"])
    sets = _synthetic_sets(graph, store)
    shown = list(sets)[:GUIDANCES]
    blocks += [(_synthetic_title(sets[w], store), read_synthetic(store.path(sets[w].stage))) for w in shown]

    wide = max(1, COLUMNS // len(classes))  # images of a class side by side
    high = 2 if len(blocks) <= 4 else 1  # and below each other
    gap = np.full((high * (TILE + GAP), 3 * GAP, 3), 255, np.uint8)
    montage, ticks, y = [], [], 0
    for _, split in blocks:
        parts = [part for label in range(len(classes)) for part in (_tiles(split, label, wide, high), gap)][:-1]
        montage += [np.concatenate(parts, axis=1), np.full((3 * GAP, sum(p.shape[1] for p in parts), 3), 255, np.uint8)]
        ticks.append(y + high * (TILE + GAP) / 2)
        y += high * (TILE + GAP) + 3 * GAP
    axes.imshow(np.concatenate(montage[:-1]), interpolation="nearest")
    step = wide * (TILE + GAP) + 3 * GAP
    axes.set_xticks([step * i + wide * (TILE + GAP) / 2 for i in range(len(classes))], classes)
    axes.set_yticks(ticks, [title for title, _ in blocks])
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    if max(map(len, classes)) > 8 * wide:  # names that would run into each other
        for label in axes.get_xticklabels():
            label.set(rotation=30, ha="left", rotation_mode="anchor")
    axes.spines[:].set_visible(False)
    axes.set_anchor("N")
    notes = []
    if graph.synthetic and not sets:
        notes.append("no synthetic set is finished yet")
    if len(sets) > len(shown):
        notes.append(f"the first {len(shown)} of {len(sets)} guidances")
    if len(dataset.classes) > len(classes):
        notes.append(f"the first {len(classes)} of {len(dataset.classes)} classes")
    axes.set_xlabel("; ".join(notes), style="italic", color=GREY)


def _real_blocks(train: Split) -> list[tuple[str, Split]]:
    """The training images, apart by alignment where it is known."""
    if train.aligned is None:
        return [("real", train)]
    kinds = {"aligned": train.aligned, "conflicting": ~train.aligned}
    return [
        (f"real, {name}\n({members.mean():.1%} of them)", train.take(np.flatnonzero(members)))
        for name, members in kinds.items()
        if members.any()
    ]


def _synthetic_sets(graph: Graph, store: Store) -> dict[float, SyntheticSet]:
    """Finished sets of the first data set and the lowest seed that has one, by guidance, ascending."""
    done = [drawn for drawn in graph.synthetic.values() if store.has(drawn.stage) and drawn.data.key == graph.data.key]
    first = [drawn for drawn in done if drawn.seed == min(other.seed for other in done)]
    return {drawn.sampling.guidance: drawn for drawn in sorted(first, key=lambda drawn: drawn.sampling.guidance)}


def _synthetic_title(drawn: SyntheticSet, store: Store) -> str:
    """The set's guidance and, where it was measured, the share of its images that follow the bias."""
    guidance = drawn.sampling.guidance
    title = f"synthetic, w = {guidance:g}\n(scale {1 + guidance:g})"
    numbers = drawn.alignment and store.read_json(drawn.alignment, "alignment")
    return f"{title}\n{numbers['aligned_share']:.1%} aligned" if numbers else title


def _tiles(split: Split, label: int, wide: int, high: int) -> np.ndarray:
    """First images of a class: (high * (TILE + GAP), wide * (TILE + GAP), 3) uint8, white where there are none."""
    canvas = np.full((high * (TILE + GAP), wide * (TILE + GAP), 3), 255, np.uint8)
    for position, index in enumerate(np.flatnonzero(split.labels == label)[: wide * high]):
        image = Image.fromarray(split.array[index])
        # Pixels of small images stay visible as squares; large ones are averaged.
        how = Image.Resampling.NEAREST if max(image.size) <= TILE else Image.Resampling.BOX
        y, x = (TILE + GAP) * (position // wide), (TILE + GAP) * (position % wide)
        canvas[y : y + TILE, x : x + TILE] = np.asarray(image.resize((TILE, TILE), how))
    return canvas


def _note(axes: Axes, text: str) -> None:
    """A panel that has nothing to show says why."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", style="italic", color=GREY)
