"""The tables for reading, as text cells: accuracies, and how good the signal behind them was.

    for sheet in sheets(rows(graph, store)):
        sheet.header, sheet.lines, sheet.caption

Numbers are percent with one decimal as `mean ± std (n)`; each caption names what ± is, the selection criterion and
whatever else its reader must know. A metric that no row has gets no column; one that a single row lacks is a dash.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ddb.report.table import METRICS, SIGNALS, Row, Signal, Summary

TITLES = {
    "average_accuracy": "average",
    "weighted_average_accuracy": "weighted average",
    "conflicting_accuracy": "conflicting",
    "aligned_accuracy": "aligned",
    "worst_group_accuracy": "worst group",
    "id_accuracy": "I.D.",
    "bg_gap": "BG gap",
    "co_occur_obj_gap": "CoObj gap",
    "bg_co_occur_obj_gap": "BG+CoObj gap",
    "aligned_share": "synthetic: aligned",
    "right_class_share": "right class",
    "precision": "error set: precision",
    "recall": "recall",
    "auroc": "AUROC",
}
WEIGHTED = (
    "Weighted average: test groups weighted by their shares of the training set, as the field averages Waterbirds."
)
GAPS = "Gaps: points by which accuracy falls below I.D. accuracy where just these attributes disagree with the class."
PAPER = (
    "Paper: Ciranni et al., NeurIPS 2025, for orientation: our settings are the paper's only as far as they are known. "
    "Gap: our mean minus the paper's, in points, where every setting that matters was seen in the paper or its code."
)
ERROR_SET = (
    "The error set on the real training images as a detector of the truly conflicting ones: precision and recall; "
    "AUROC of the loss as their ranking."
)
SYNTHETIC = (
    "Synthetic images that follow the bias and that show the right class, according to a probe that was trained on "
    "real, balanced images: shares of the whole sampled set, even if an amplifier uses only its first images. "
)
GUIDANCE = "guidance w (scale 1 + w)"
SELECTION = {
    "last": "the weights after the last step",
    "val_average": "best average accuracy on the validation split",
    "val_worst_group": "best worst-group accuracy on the validation split, an oracle as it needs bias labels",
    "val_pseudo_worst_group": "best worst accuracy over the Bias Amplifier's pseudo-groups on the validation split",
}
NONE = "–"  # in place of a number that does not exist


@dataclass(frozen=True)
class Sheet:
    """A table of text."""

    header: list[str]
    lines: list[list[str]]
    numeric: list[bool]  # which columns hold numbers
    caption: str


def sheets(rows: list[Row]) -> list[Sheet]:
    """The table of accuracies and, where an amplifier's signal could be judged, the table of signals."""
    signals = _signal_rows(rows)
    return [accuracies(rows), *([_signals(signals)] if any(signal.numbers for _, signal in signals) else [])]


def accuracies(rows: list[Row]) -> Sheet:
    """One line for each row: its settings and test metrics, and the paper's numbers beside ours."""
    metrics, axes = metrics_of(rows), axes_of(rows)
    papers = [name for name in metrics if any(name in row.published for row in rows)]
    header = ["data set", "method", *axes.values(), GUIDANCE, "selection", *(TITLES[name] for name in metrics)]
    numeric = [False] * (len(header) - len(metrics)) + [True] * len(metrics)
    for name in papers:
        header += [f"paper: {TITLES[name]}", "gap"]
        numeric += [True, True]
    lines = []
    for row in rows:
        line = [row.dataset, row.method, *(value_text(row.settings.get(axis)) for axis in axes)]
        line += [value_text(row.guidance), row.selection, *(number(row.metrics.get(name)) for name in metrics)]
        for name in papers:
            gap = row.gap(name)
            line += [number(row.published.get(name)), NONE if gap is None else f"{100 * gap:+.1f}"]
        lines.append([*line, row.state])
    return Sheet([*header, "seeds"], lines, [*numeric, False], caption(rows))


def caption(rows: list[Row]) -> str:
    """What a reader must know to read the accuracies."""
    used = dict.fromkeys(row.selection for row in rows)
    criteria = "; ".join(f"{name} ({SELECTION[name]})" if name in SELECTION else name for name in used)
    sentences = [
        "Test accuracy in percent as mean ± std (n), n the number of seeds; "
        "± is the sample standard deviation (ddof 1), not given for n = 1.",
    ]
    if criteria:
        sentences.append(f"Selection criterion: {criteria}.")
    used = {name for row in rows for name in row.metrics}
    sentences += [WEIGHTED] * ("weighted_average_accuracy" in used) + [GAPS] * ("bg_gap" in used)
    sentences += [PAPER] * any(row.published for row in rows)
    sentences += dict.fromkeys(f"{row.dataset}: {note}." for row in rows for note in row.notes)
    if any(not row.complete for row in rows):
        sentences.append("Rows with fewer seeds than planned rest on the finished ones only.")
    return " ".join(sentences)


def _signals(pairs: list[tuple[Row, Signal]]) -> Sheet:
    axes = axes_of([row for row, _ in pairs])
    names = [name for name in SIGNALS if any(name in signal.numbers for _, signal in pairs)]
    header = ["data set", *axes.values(), GUIDANCE, "signals from", *(TITLES[name] for name in names)]
    lines = [
        [
            row.dataset,
            *(value_text(row.settings.get(axis)) for axis in axes),
            value_text(row.guidance),
            f"{signal.source} images" if signal.source in ("synthetic", "real") else signal.source,
            *(number(signal.numbers.get(name)) for name in names),
        ]
        for row, signal in pairs
    ]
    about = SYNTHETIC * ("aligned_share" in names) + ERROR_SET
    return Sheet(header, lines, [False] * (len(header) - len(names)) + [True] * len(names), about)


def _signal_rows(rows: list[Row]) -> list[tuple[Row, Signal]]:
    """One row for each set of amplifiers, with the settings that all methods which use it share."""
    found: dict[tuple[str, ...], Row] = {}
    for row in rows:
        if row.signal is None:
            continue
        known = found.setdefault(row.signal.amplifiers, row)
        settings = {name: v if row.settings.get(name) == v else None for name, v in known.settings.items()}
        found[row.signal.amplifiers] = replace(known, settings=settings)
    return [(row, row.signal) for row in found.values() if row.signal]


def metrics_of(rows: list[Row]) -> list[str]:
    """Metrics that some row has, in the order of METRICS."""
    return [name for name in METRICS if any(name in row.metrics or name in row.published for row in rows)]


def axes_of(rows: list[Row]) -> dict[str, str]:
    """Varied settings that make a difference in some row, with their titles."""
    return axis_titles(dict.fromkeys(name for row in rows for name, value in row.settings.items() if value is not None))


def axis_titles(names: Iterable[str]) -> dict[str, str]:
    """Settings with their titles; those of one title have their full names."""
    titles = {name: axis_title(name) for name in names}
    return {name: title if [*titles.values()].count(title) == 1 else name for name, title in titles.items()}


def axis_title(name: str) -> str:
    """`dataset.conflict_ratio` -> "conflict ratio", `amplifier.steps` -> "amplifier steps"."""
    section, _, setting = name.rpartition(".")
    section = section.partition(".")[0]
    words = setting.replace("_", " ")
    return f"{section} {words}" if section in ("amplifier", "cdpm", "training") else words


def value_text(value: Any) -> str:
    """A setting's value; a dash where it changes nothing."""
    if value is None:
        return NONE
    return f"{value:g}" if isinstance(value, float) else str(value)


def number(value: Summary | None) -> str:
    """`mean ± std (n)` in percent, as far as std and n are known."""
    if value is None:
        return NONE
    std = "" if value["std"] is None else f" ± {100 * value['std']:.1f}"
    count = f" ({value['n']})" if "n" in value else ""
    return f"{100 * value['mean']:.1f}{std}{count}"
