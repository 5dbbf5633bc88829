"""The tables for reading, as text cells: accuracies, and how good the signal behind them was.

    for sheet in sheets(rows(Results(graph, store))):
        sheet.header, sheet.lines, sheet.caption

Numbers are percent with one decimal as `mean ± std (n)`; each caption names what ± is, the selection criterion and
whatever else its reader must know. A metric that no row has gets no column; one that a single row lacks is a dash.
"""

from dataclasses import dataclass, replace

from ddb.report.equal import equal_rows
from ddb.report.table import Row, Signal, Summary
from ddb.report.titles import GUIDANCE, METRICS, NONE, SIGNALS, TITLES, axis_titles, value_text

WEIGHTED = (
    "Weighted average: test groups weighted by their shares of the training set, as the field averages Waterbirds."
)
GAPS = "Gaps: points by which accuracy falls below I.D. accuracy where just these attributes disagree with the class."
PAPER = (
    "Paper: Ciranni et al., NeurIPS 2025, for orientation: our settings are the paper's only as far as they are known. "
    "Gap: our mean minus the paper's, in points, where every setting that matters was seen in the paper or its code."
)
ORACLE = "(oracle): the method needs bias labels, which are unknown in practice; a reference and not a competitor."
ERROR_SET = (
    "The error set on the real training images as a detector of the truly conflicting ones: precision and recall; "
    "AUROC of the loss as their ranking."
)
SYNTHETIC = (
    "Synthetic images that follow the bias and that show the right class, according to a probe that was trained on "
    "real, balanced images: shares of the whole sampled set, even if an amplifier uses only its first images. "
)
SELECTION = {
    "last": "the weights after the last step",
    "val_average": "best average accuracy on the validation split",
    "val_worst_group": "best worst-group accuracy on the validation split, an oracle as it needs bias labels",
    "val_pseudo_worst_group": "best worst accuracy over the Bias Amplifier's pseudo-groups on the validation split",
}


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


def make_sheet(rows: list[Row], words: dict[str, list[str]], numbers: dict[str, list[str]], caption: str) -> Sheet:
    """A sheet of a line per row: data set, varied settings and guidance, then other columns, title -> cells."""
    axes = axes_of(rows)
    first = {"data set": [row.dataset for row in rows]}
    if "method" in words:
        first["method"] = words.pop("method")
    settings = {title: [value_text(row.settings.get(name)) for row in rows] for name, title in axes.items()}
    columns = first | settings | {GUIDANCE: [value_text(row.guidance) for row in rows]} | words | numbers
    if "seeds" in columns:
        columns["seeds"] = columns.pop("seeds")  # the last
    lines = [list(line) for line in zip(*columns.values(), strict=True)]
    return Sheet(list(columns), lines, [title in numbers for title in columns], caption)


def accuracies(rows: list[Row]) -> Sheet:
    """One line for each row: its settings and test metrics, and the paper's numbers beside ours."""
    metrics = metrics_of(rows)
    words = {name: [getattr(row, part) for row in rows] for name, part in
             (("method", "title"), ("selection", "selection"), ("seeds", "state"))}  # fmt: skip
    numbers = {TITLES[name]: [number(row.metrics.get(name)) for row in rows] for name in metrics}
    for name in papers_of(rows):
        numbers[f"paper: {TITLES[name]}"] = [number(row.published.get(name)) for row in rows]
        gaps = [row.gap(name) for row in rows]
        numbers[f"gap: {TITLES[name]}"] = [NONE if gap is None else f"{100 * gap:+.1f}" for gap in gaps]
    return make_sheet(rows, words, numbers, caption(rows))


def caption(rows: list[Row]) -> str:
    """What a reader must know to read the accuracies."""
    used = dict.fromkeys(row.selection for row in rows)
    criteria = "; ".join(f"{name} ({SELECTION[name]})" if name in SELECTION else name for name in used)
    metrics = metrics_of(rows)
    sentences = [
        "Test accuracy in percent as mean ± std (n), n the number of seeds; "
        "± is the sample standard deviation (ddof 1), not given for n = 1.",
        *[f"Selection criterion: {criteria}."] * bool(criteria),
        *[WEIGHTED] * ("weighted_average_accuracy" in metrics),
        *[GAPS] * ("bg_gap" in metrics),
        *[ORACLE] * any(row.oracle for row in rows),
        *[PAPER] * any(row.published for row in rows),
        *equal_rows(rows),
        *dict.fromkeys(f"{row.dataset}: {note}." for row in rows for note in row.notes),
    ]
    if any(not row.complete for row in rows):
        sentences.append("Rows with fewer seeds than planned rest on the finished ones only.")
    return " ".join(sentences)


def _signals(pairs: list[tuple[Row, Signal]]) -> Sheet:
    names = [name for name in SIGNALS if any(name in signal.numbers for _, signal in pairs)]
    sources = [f"{each.source} images" if each.source in ("synthetic", "real") else each.source for _, each in pairs]
    numbers = {TITLES[name]: [number(signal.numbers.get(name)) for _, signal in pairs] for name in names}
    about = SYNTHETIC * ("aligned_share" in names) + ERROR_SET
    return make_sheet([row for row, _ in pairs], {"signals from": sources}, numbers, about)


def _signal_rows(rows: list[Row]) -> list[tuple[Row, Signal]]:
    """One row for each set of amplifiers, with the settings that all methods which use it share."""
    found: dict[tuple[str, ...], Row] = {}
    for row in [row for row in rows if row.signal]:
        assert row.signal is not None
        known = found.setdefault(row.signal.amplifiers, row)
        settings = {name: v if row.settings.get(name) == v else None for name, v in known.settings.items()}
        found[row.signal.amplifiers] = replace(known, settings=settings)
    return [(row, row.signal) for row in found.values() if row.signal]


def metrics_of(rows: list[Row]) -> list[str]:
    """Metrics that some row has, in the order of METRICS."""
    return [name for name in METRICS if any(name in row.metrics or name in row.published for row in rows)]


def papers_of(rows: list[Row]) -> list[str]:
    """Metrics of which the paper prints a number for some row."""
    return [name for name in METRICS if any(name in row.published for row in rows)]


def axes_of(rows: list[Row]) -> dict[str, str]:
    """Varied settings that make a difference in some row, with their titles."""
    return axis_titles(dict.fromkeys(name for row in rows for name, value in row.settings.items() if value is not None))


def number(value: Summary | None) -> str:
    """`mean ± std (n)` in percent, as far as std and n are known."""
    if value is None:
        return NONE
    std = "" if value["std"] is None else f" ± {100 * value['std']:.1f}"
    count = f" ({value['n']})" if "n" in value else ""
    return f"{100 * value['mean']:.1f}{std}{count}"
