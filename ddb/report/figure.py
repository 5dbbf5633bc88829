"""The whole argument in one picture: what the CDPM draws, what the amplifier forgets, what the methods reach.

    draw(plan, store, "results/colored_digits.png")

Top left, real images beside synthetic ones; top right, the memorisation curve of the Bias Amplifier trained on
synthetic against real images; below, each method's accuracy. A panel whose stages are not finished says so, so the
figure can be drawn while a run is under way. Colours are Okabe and Ito's, and shape or hatch repeats what they say.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from ddb.data import Split, prepared
from ddb.diffusion.synthetic import read as read_synthetic
from ddb.errors import DDBError
from ddb.report.sheets import axis_title, value_text
from ddb.report.table import METRICS, Row, rows
from ddb.store import Store

if TYPE_CHECKING:
    from ddb.experiment import AmplifierRun, Plan, SyntheticSet

DPI = 150
WIDTH, TOP_HEIGHT = 12.0, 5.0  # inches
ROW_HEIGHT, MARGIN_HEIGHT = 0.62, 1.3  # inches of the lower panel: each method, and its title and axis
COLUMNS = 10  # images side by side, shared out over the classes
GUIDANCES = 4  # synthetic sets shown
TILE, GAP = 64, 5  # pixels of one image and between two in the montage

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
BARS = {  # metric -> label, colour, hatch
    "aligned_accuracy": ("aligned", BLUE, ""),
    "conflicting_accuracy": ("conflicting", ORANGE, "///"),
    "worst_group_accuracy": ("worst group", GREEN, "..."),
    "average_accuracy": ("average", GREY, ""),
}
LINES = {  # source of the amplifier's images -> colour, marker, line
    "synthetic": (BLUE, "o", "-"),
    "real": (ORANGE, "s", "--"),
}
STYLE = {
    "text.parse_math": False,  # a class or method may be called "$x$"
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.8,
}


def draw(plan: "Plan", store: Store, path: str | Path) -> None:
    """Write the figure, as PDF where `path` ends in .pdf, else as PNG 1800 pixels wide; without a date in it.

    Raises DDBError where `path` cannot be written.
    """
    as_pdf = Path(path).suffix == ".pdf"
    table = rows(plan, store)
    bottom = MARGIN_HEIGHT + ROW_HEIGHT * max(len(table), 1)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, TOP_HEIGHT + bottom), layout="constrained")
        FigureCanvasAgg(figure)
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
        upper, lower = figure.subfigures(2, 1, height_ratios=(TOP_HEIGHT, bottom))
        if any(run.source in LINES for run in plan.amplifiers.values()):
            left, right = upper.subplots(1, 2, width_ratios=(7, 5))
            _draw_memorisation(right, plan, store)
        else:  # closed forms have no curve
            left = upper.subplots()
        _draw_images(left, plan, store)
        _draw_accuracies(lower.subplots(), table)
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(
                path,
                dpi=DPI,
                format="pdf" if as_pdf else "png",
                metadata={"CreationDate": None} if as_pdf else None,
            )
        except OSError as error:
            raise DDBError(f"figure {path} cannot be written: {error.strerror}") from None


def _draw_images(axes: Axes, plan: "Plan", store: Store) -> None:
    """A montage: a column block for each class; row blocks for real images and each guidance's synthetic ones."""
    axes.set_title("Real and synthetic images" if plan.synthetic else "Training images")
    if not store.has(plan.data):
        _note(axes, "the data set is not prepared yet")
        return
    dataset = prepared.read(store.path(plan.data))
    classes = dataset.classes[:COLUMNS]
    blocks = _real_blocks(dataset["train"])
    sets = _synthetic_sets(plan, store)
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
    if plan.synthetic and not sets:
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
    blocks = []
    for name, members in (("aligned", train.aligned), ("conflicting", ~train.aligned)):
        if members.any():
            chosen = np.flatnonzero(members)
            part = Split(train.images[chosen], train.labels[chosen], [train.paths[i] for i in chosen])
            blocks.append((f"real, {name}\n({members.mean():.1%} of them)", part))
    return blocks


def _synthetic_sets(plan: "Plan", store: Store) -> "dict[float, SyntheticSet]":
    """Finished sets of the first data set and the lowest seed that has one, by guidance, ascending."""
    done = [drawn for drawn in plan.synthetic.values() if store.has(drawn.stage) and drawn.data.key == plan.data.key]
    first = [drawn for drawn in done if drawn.seed == min(other.seed for other in done)]
    return {drawn.sampling.guidance: drawn for drawn in sorted(first, key=lambda drawn: drawn.sampling.guidance)}


def _synthetic_title(drawn: "SyntheticSet", store: Store) -> str:
    """The set's guidance and, where it was measured, the share of its images that follow the bias."""
    guidance = drawn.sampling.guidance
    title = f"synthetic, w = {guidance:g}\n(scale {1 + guidance:g})"
    if drawn.alignment is None or not store.has(drawn.alignment):
        return title
    return f"{title}\n{store.read_json(drawn.alignment, 'alignment')['aligned_share']:.1%} aligned"


def _tiles(split: Split, label: int, wide: int, high: int) -> np.ndarray:
    """First images of a class: (high * (TILE + GAP), wide * (TILE + GAP), 3) uint8, white where there are none."""
    canvas = np.full((high * (TILE + GAP), wide * (TILE + GAP), 3), 255, np.uint8)
    for position, index in enumerate(np.flatnonzero(split.labels == label)[: wide * high]):
        image = Image.fromarray(split.images[index])
        # Pixels of small images stay visible as squares; large ones are averaged.
        how = Image.Resampling.NEAREST if max(image.size) <= TILE else Image.Resampling.BOX
        y, x = (TILE + GAP) * (position // wide), (TILE + GAP) * (position % wide)
        canvas[y : y + TILE, x : x + TILE] = np.asarray(image.resize((TILE, TILE), how))
    return canvas


def _draw_memorisation(axes: Axes, plan: "Plan", store: Store) -> None:
    """Truly conflicting training images that the amplifier still misclassifies, by epoch: thin seeds, thick mean."""
    axes.set_title("Memorisation by the Bias Amplifier")
    notes, total = [], None
    for source, (color, marker, line) in LINES.items():
        stages = [run.stage for run in _one_per_seed(plan, source) if store.has(run.stage)]
        curves = [store.read_json(stage, "curve") for stage in stages]
        if not curves:
            notes.append(f"no amplifier trained on {source} images is finished")
            continue
        if curves[0][0]["conflicting_total"] is None:
            _note(axes, "the bias of this data set is not labelled")
            return
        total = curves[0][0]["conflicting_total"]
        epochs = np.array([point["epoch"] for point in curves[0]])  # (E,)
        errors = np.array([[point["conflicting_errors"] for point in curve] for curve in curves])  # (S, E)
        if len(curves) > 1:
            axes.plot(epochs, errors.T, color=color, linewidth=0.8, alpha=0.4, linestyle=line)
        label = f"trained on {source} images ({len(curves)} seed{'s' * (len(curves) > 1)})"
        axes.plot(epochs, errors.mean(0), line, color=color, marker=marker, markersize=5, linewidth=2, label=label)
    if total is None:
        _note(axes, "no amplifier is finished yet")
        return
    axes.axhline(total, color=GREY, linewidth=1, linestyle=":")
    axes.annotate(f"all {total} conflicting images", (1, total), (0, 4), ("axes fraction", "data"), "offset points",
                  ha="right", va="bottom", color=GREY)  # fmt: skip
    axes.set_ylim(-0.02 * total, 1.3 * total)
    axes.set_xlim(left=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("\n".join(["epoch (passes over the amplifier's own training images)", *notes]))
    axes.set_ylabel("conflicting images still misclassified")
    axes.legend(loc="upper right", frameon=False)
    axes.grid(axis="y", alpha=0.25)


def _one_per_seed(plan: "Plan", source: str) -> "list[AmplifierRun]":
    """The plan's first amplifier of every seed that was trained on such images of the first data set."""
    found = {}
    for run in plan.amplifiers.values():
        if run.source == source and run.stage.inputs["data"].key == plan.data.key:
            found.setdefault(run.seed, run)
    return list(found.values())


def _draw_accuracies(axes: Axes, table: list[Row]) -> None:
    """Horizontal bars: mean over seeds with the standard deviation, and the mean in figures."""
    axes.set_title("Accuracy on the test set")
    if not any(row.metrics for row in table):
        _note(axes, "no method is finished yet")
        return
    present = {name for row in table for name in row.metrics}
    metrics = [name for name in BARS if name in present and name != "average_accuracy"] or [METRICS[0]]
    thick = 0.84 / len(metrics)
    for position, row in enumerate(table):
        if not row.metrics:
            axes.annotate("no seed is finished", (0, position), (6, 0), "data", "offset points",
                          va="center", style="italic", color=GREY)  # fmt: skip
        for number, name in enumerate(metrics):
            if name not in row.metrics:
                continue
            label, color, hatch = BARS[name]
            mean, std = 100 * row.metrics[name]["mean"], row.metrics[name]["std"]
            spread = 0 if std is None else 100 * std
            y = position + (number - (len(metrics) - 1) / 2) * thick
            axes.barh(y, mean, thick * 0.9, color=color, hatch=hatch, edgecolor="white", linewidth=0, label=label)
            if std is not None:
                axes.errorbar(mean, y, xerr=spread, color="black", linewidth=1.2, capsize=2.5)
            axes.annotate(f"{mean:.1f}", (mean + spread, y), (5, 0), "data", "offset points",
                          va="center_baseline", fontsize=8.5)  # fmt: skip
    axes.set_yticks(range(len(table)), [_label(row, table) for row in table])
    axes.set_ylim(len(table) - 0.45, -0.55)  # the first method on top
    axes.set_xlim(0, 108)
    axes.set_xticks(range(0, 101, 10))
    notes = [] if "aligned_accuracy" in present else ["the bias of this data set is not labelled"]
    means = "accuracy in percent, mean over seeds; whiskers: sample standard deviation (ddof 1)"
    axes.set_xlabel("; ".join([means, *notes]))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # one for each label
    axes.legend(handles.values(), handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(handles), frameon=False)


def _label(row: Row, table: list[Row]) -> str:
    """The method and whatever tells the row from the table's others, then what is missing from it."""
    first = [row.method]
    if len({other.dataset for other in table}) > 1:
        first.insert(0, row.dataset)
    if row.guidance is not None and len({other.guidance for other in table} - {None}) > 1:
        first.append(f"w = {row.guidance:g}")
    first += [f"{axis_title(name)} {value_text(v)}" for name, v in row.settings.items() if v is not None]
    lines = [", ".join(first)]
    if len({other.selection for other in table}) > 1:
        lines.append(row.selection)
    if not row.complete:
        lines.append(row.state)
    return "\n".join(lines)


def _note(axes: Axes, text: str) -> None:
    """A panel that has nothing to show says why."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", style="italic", color=GREY)
