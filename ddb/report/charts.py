"""The charts of an experiment: what it reaches, how its numbers depend on what varies, how its amplifiers memorise.

    for chart in charts(Results(graph, store)):
        save(chart, "results/guidance/charts")      # <name>.png and <name>.pdf, the same bytes for the same numbers
        chart_uri(chart)                            # an image for a page

One chart of the accuracies, one for each varied numeric setting and each question (the metrics that papers compare, how
good the synthetic images are, how well the signals find the conflicting images), and one of memorisation. A second
numeric setting makes panels side by side; whatever else varies makes more lines. Only finished numbers are drawn, so
this works while a run is under way. How a chart looks: `ddb.report.draw`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ddb.data import BENCHMARKS, prepared
from ddb.experiment.results import Results
from ddb.lazy import np, pd
from ddb.recipes import METHODS
from ddb.report.titles import GUIDANCE, METRICS, SIGNALS, TITLES, agreed_settings, axis_titles, method_title, value_text
from ddb.store import Stage, canonical_json

if TYPE_CHECKING:
    from ddb.experiment.graph import AmplifierRun

W = "sampling.guidance"
APART = ("dataset.name",)  # varied settings that make charts of their own
WIDE = 20  # positive values that span more than this factor get a logarithmic axis
PANELS, LINES = 6, 8  # at most, side by side, and of amplifiers
SHARES = ("aligned_share", "right_class_share")


@dataclass(frozen=True)
class Line:
    """`points` has the columns x, mean, std (NaN for n = 1) and n; numbers in percent."""

    label: str
    points: pd.DataFrame
    method: str = ""  # of `ddb.recipes`, which decides the colour everywhere; "": not a method's, drawn in grey
    reference: bool = False  # not touched by what varies: a dashed line all across


@dataclass(frozen=True)
class Chart:
    """Panels side by side that share their axes."""

    name: str  # file stem, unique in the experiment: letters, digits, "_", "-" and "."
    title: str
    x_label: str
    y_label: str
    panels: dict[str, list[Line]]  # title -> lines
    note: str  # what the numbers are, and what is missing
    log_x: bool = False
    rows: tuple[str, ...] = ()  # of a chart of accuracies: the table's rows, from top to bottom, which are its y axis


def charts(found: Results) -> list[Chart]:
    """Every chart that has a finished number."""
    datasets = list(dict.fromkeys(found.cells["dataset"])) if len(found.cells) else []
    drawn = []
    for dataset in datasets:
        name, title = (f"_{dataset}", f"{dataset}: ") if len(datasets) > 1 else ("", "")
        for chart in [*accuracies(found, dataset), *_curves(found, dataset), *memorisation(found, dataset)]:
            drawn.append(replace(chart, name=f"{chart.name}{name}", title=f"{title}{chart.title}"))
    return _uniquely_named(drawn)


def accuracies(found: Results, dataset: str) -> list[Chart]:
    """Each row's accuracies as points, with the accuracy of always answering the most frequent class."""
    table = found.metrics[found.metrics["dataset"] == dataset]
    known = [name for name in METRICS[:5] if name in set(table["metric"]) and name != "weighted_average_accuracy"]
    names = [name for name in known if name != "average_accuracy"] or known
    if not names:
        return []
    axes = _axes(found, *APART)
    own = found.cells[found.cells["dataset"] == dataset].replace({"method": _titles(found)})
    methods = list(dict.fromkeys(own["method"]))  # in the table's order
    labels = _labels(own.loc[sorted(own.index, key=lambda cell: methods.index(own.loc[cell, "method"]))], axes)
    rows = tuple(dict.fromkeys(labels))
    lines = []
    for name in names:
        mine = table[table["metric"] == name].set_index("cell")["value"]
        points = _summary(mine.groupby(labels.reindex(mine.index).map(rows.index)), "x")
        lines.append(Line(TITLES[name], points))
    states = own["state"].value_counts()
    counts = [f"{states[state]} of {len(own)} cells are {state}." for state in ("failed", "missing") if state in states]
    note = " ".join([f"Test set of {dataset}. {_seeds(lines)}", *counts])
    panels = {"": lines}
    if (share := majority(found, dataset)) is not None:
        everywhere = pd.DataFrame({"x": range(len(rows)), "mean": 100 * share, "std": np.nan, "n": 1})
        panels[""].append(Line("always the most frequent class", everywhere, reference=True))
    return [Chart("accuracy", "Accuracy on the test set", "accuracy in percent", "", panels, note, rows=rows)]


def majority(found: Results, dataset: str) -> float | None:
    """The share of the most frequent class among the test images; None before the data set is prepared."""
    stage = next(c.stage.inputs["data"] for c in found.graph.cells if c.dataset == dataset)
    if not found.store.has(stage):
        return None
    labels = prepared.read(found.store.path(stage), mapped=True)["test"].labels
    return float(np.bincount(labels).max() / len(labels))


def memorisation(found: Results, dataset: str) -> list[Chart]:
    """Truly conflicting training images that an amplifier still misclassifies, by step of its training.

    A line for each source, guidance and other setting that varies, of the amplifiers that were trained the longest.
    """
    data = {cell.stage.inputs["data"].key for cell in found.graph.cells if cell.dataset == dataset}
    agreed, curves = agreed_settings(found.graph), []
    for run in found.graph.amplifiers.values():
        curve = found.store.read_json(run.stage, "curve")
        # A bias that is not labelled, or that no image breaks, leaves nothing to count.
        if curve and curve[0]["conflicting_total"] and run.stage.inputs["data"].key in data:
            steps = run.stage.config["amplifier"].get("steps")
            label, same = _source(run, agreed[run.stage.key], found), _without_seeds(run.stage)
            curves.append(pd.DataFrame(curve).assign(label=label, steps=steps, same=same))
    table = pd.concat(curves) if curves else pd.DataFrame(columns=["step", "steps"])
    table = table[table["steps"] == table["steps"].max()]
    if table["step"].nunique() < 2:
        return []
    total = int(table["conflicting_total"].max())
    kinds, lines = table.drop_duplicates("same"), []
    number = dict(zip(kinds["same"], kinds.groupby("label").cumcount() + 1, strict=True))  # if nothing names them apart
    for (label, same), part in [*table.groupby(["label", "same"], sort=False)][:LINES]:
        by_step = (part["conflicting_errors"] / part["conflicting_total"]).groupby(part["step"])
        lines.append(Line(label if number[same] == 1 else f"{label} ({number[same]})", _summary(by_step, "x")))
    note = f"{dataset}, {total} conflicting training images. {_seeds(lines)}"
    note += f" The first {LINES} of {table['same'].nunique()} lines." * (table["same"].nunique() > LINES)
    title, label = "Memorisation by the Bias Amplifier", "conflicting images misclassified, in percent"
    return [Chart("memorisation", title, "training step", label, {"": lines}, note)]


def _source(run: AmplifierRun, agreed: dict[str, Any], found: Results) -> str:
    """What an amplifier was trained on, and which of the settings that vary it has."""
    drawn, own = run.stage.inputs.get("synthetic"), run.stage.config["amplifier"]
    words = [f"w = {drawn.config['sampling']['guidance']:g}"] if drawn else []
    for axis, title in _axes(found, *APART, W, "amplifier.steps").items():
        section, _, name = axis.partition(".")
        value = own.get(name) if section == "amplifier" else agreed.get(axis)
        words.append(_told(title, value).removeprefix(", "))
    return ", ".join([f"{run.source} images", *filter(None, words)])


def _without_seeds(stage: Stage) -> str:
    """The same for results that differ in seeds alone."""
    configs = [each.config for each in stage.ancestors()]
    return canonical_json([{name: value for name, value in each.items() if name != "seed"} for each in configs])


def _curves(found: Results, dataset: str) -> Iterator[Chart]:
    """A chart for each numeric setting that varies and each topic."""
    own = found.cells[found.cells["dataset"] == dataset]
    every = _axes(found, *APART)
    for axis in [axis for axis in every if _is_numeric(own[axis])]:
        for name, title, about, table in _topics(found, own, dataset):
            early = ("dataset", "cdpm", "sampling", "base")  # what comes later does not change synthetic images
            axes = {a: words for a, words in every.items() if name != "synthetic" or a.partition(".")[0] in early}
            if axis not in axes:
                continue
            numeric = [other for other in axes if other != axis and _is_numeric(own[other])]
            second = next((other for other in numeric if _crossed(table, axis, other)), None)
            if second and table[second].nunique() > table[axis].nunique():
                continue  # the setting with more values is the x axis, and the other one makes the panels
            yield from _curve(name, title, about, table, axis, second, axes)


def _topics(found: Results, own: pd.DataFrame, dataset: str) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Name, title, first words of the note, and a row for each cell or amplifier with its value (NaN if missing)."""
    main = BENCHMARKS[dataset].metric
    methods = {cell.method: cell.row.method.name for cell in found.graph.cells}
    titles = _titles(found)
    criteria = ", ".join(dict.fromkeys(own["selection"]))
    for metric in [main, *(["aligned_accuracy"] if main == "conflicting_accuracy" else [])]:
        values = found.metrics[found.metrics["metric"] == metric].set_index("cell")["value"]
        table = own.assign(
            value=values.reindex(own.index), line=own["method"].map(titles), color=own["method"].map(methods)
        )
        yield metric, f"{TITLES[metric]} accuracy", f"Test set of {dataset}; selection criterion: {criteria}.", table
    users = own.dropna(subset=["amplifier"]).drop_duplicates("amplifier")
    settings = users[[*_axes(found), "seed"]].map(value_text)
    methods = ", " + users["method"] if settings.duplicated().any() else ""  # told if settings do not tell them apart
    users = users.assign(told=methods)
    signals = users.drop(columns=["guidance", "seed"]).merge(found.signals, on="amplifier")
    probe = f"{dataset}. Synthetic images as a probe sees them that was trained on real, balanced images."
    detector = f"{dataset}. The error set as a detector of the truly conflicting training images; AUROC of the loss."
    for name, title, numbers, about in (
        ("synthetic", "synthetic images", SHARES, probe),
        ("signals", "signals", [number for number in SIGNALS if number not in SHARES], detector),
    ):
        if name == "synthetic":
            rows = signals.dropna(subset=["synthetic"]).drop_duplicates("synthetic").assign(told="")
        else:
            rows = signals
        parts = [rows.assign(value=rows[n], line=TITLES[n] + rows["told"], color="") for n in numbers if n in rows]
        if parts:
            yield name, title, about, pd.concat(parts, ignore_index=True)


def _curve(
    name: str, title: str, about: str, table: pd.DataFrame, axis: str, second: str | None, axes: dict[str, str]
) -> Iterator[Chart]:
    """The chart of one topic by one setting; none if no line has two points."""
    x = pd.to_numeric(table[axis], errors="coerce")  # NaN: the setting changes nothing there, or is null
    levels = table[second] if second else pd.Series("", index=table.index)
    others = {other: words for other, words in axes.items() if other not in (axis, second)}
    label = _labels(table.assign(method=table["line"]), others, among=table[x.notna()])
    label += pd.Series(np.where(table[axis] == "none", f", {axes[axis]} none", ""), index=table.index)
    titles = sorted(levels[x.notna()].dropna().unique(), key=lambda v: (v == "none", 0 if v == "none" else v))[:PANELS]
    panels, missing, fewer = {}, 0, 0
    for level in titles:
        lines = []
        for text in dict.fromkeys(label):
            rows = (label == text) & ((levels == level) | levels.isna())
            for reference, part in ((True, rows & x.isna()), (False, rows & x.notna())):
                by_x = table["value"][part].groupby(0 * x[part].isna() if reference else x[part])
                points = _summary(by_x, "x")
                missing += int((points["n"] == 0).sum())
                fewer += int(((points["n"] > 0) & (points["n"] < by_x.size().to_numpy())).sum())
                points = points[points["n"] > 0]
                if len(points):
                    lines.append(Line(text, points, table["color"][part].iloc[0], reference))
        panels[f"{axes[second]} {value_text(level)}" if second else ""] = lines
    drawn = [line for lines in panels.values() for line in lines]
    if not any(len(line.points) > 1 for line in drawn if not line.reference):
        return
    values = sorted({value for line in drawn if not line.reference for value in line.points["x"]})
    positive = [value for value in values if value > 0]
    wide = values[0] >= 0 and max(positive) > WIDE * min(positive)
    note = [about, _seeds(drawn)]
    note += ["Dashed: without a value on this axis."] * any(line.reference for line in drawn)
    note += [f"Missing numbers: {missing}."] * (missing > 0)
    note += [f"Numbers of fewer seeds than planned: {fewer}."] * (fewer > 0)
    note += [f"The first {PANELS} panels of {levels[x.notna()].nunique()}."] * (levels[x.notna()].nunique() > PANELS)
    words = GUIDANCE if axis == W else axes[axis]
    heading = f"{title[0].upper()}{title[1:]} by {axes[axis]}"
    yield Chart(f"{name}_by_{axes[axis]}", heading, words, f"{title} in percent", panels, " ".join(note), wide)


def _axes(found: Results, *without: str) -> dict[str, str]:
    """The varied settings with their titles."""
    axes = axis_titles(axis for axis in found.graph.experiment.axes if axis in found.cells)
    return {axis: title for axis, title in axes.items() if axis not in without}


def _titles(found: Results) -> dict[str, str]:
    """The methods, by their names in `found.cells`, for reading."""
    return {cell.method: method_title(cell.method, cell.row.method.needs_groups) for cell in found.graph.cells}


def _labels(table: pd.DataFrame, axes: dict[str, str], among: pd.DataFrame | None = None) -> pd.Series:
    """The method, with each setting that tells rows (`among` these) apart."""
    told = table["method"].astype(str)
    for axis, title in axes.items():
        if (table if among is None else among)[axis].map(value_text).nunique() > 1:
            words = table[axis].map(lambda value, title=title: _told(title, value))
            told = told + words
    return told


def _told(title: str, value: Any) -> str:
    """A setting in a label: names such as `ancestral` speak for themselves."""
    if value is None or value != value:  # NaN
        return ""
    return f", {value}" if isinstance(value, str) and value != "none" else f", {title} {value_text(value)}"


def _summary(groups: Any, name: str) -> pd.DataFrame:
    """Mean, sample standard deviation and number of fractions by group, in percent."""
    found = groups.agg(["mean", "std", "count"]).rename_axis(name).reset_index()
    return found.assign(mean=100 * found["mean"], std=100 * found["std"]).rename(columns={"count": "n"})


def _seeds(lines: list[Line]) -> str:
    n = [int(number) for line in lines for number in line.points["n"]]
    if max(n) == 1:
        return "One seed, so no standard deviation."
    number = f"{max(n)}" if min(n) == max(n) else f"{min(n)} to {max(n)}"
    return f"Mean over seeds (n = {number}); whiskers: ± sample standard deviation (ddof 1)."


def _is_numeric(values: pd.Series) -> bool:
    """Whether a setting has two numbers or more and, null aside, nothing else."""
    known = [value for value in values if value is not None and value == value and value != "none"]
    numbers = [value for value in known if isinstance(value, int | float) and not isinstance(value, bool)]
    return len(numbers) == len(known) and len({*numbers}) > 1


def _crossed(table: pd.DataFrame, axis: str, second: str) -> bool:
    """Whether some line has several values of `axis` at each of two values of `second`."""
    known = table.dropna(subset=[axis, second])
    if known.empty:
        return False
    counts = known.groupby(["line", second])[axis].nunique()
    return bool((counts[counts > 1].groupby("line").size() > 1).any())


def _uniquely_named(found: list[Chart]) -> list[Chart]:
    """`found` with names that are file names, numbered where two would be the same."""
    named: dict[str, Chart] = {}
    for chart in found:
        stem = name = re.sub(r"[^A-Za-z0-9_.-]+", "_", chart.name)[:100]
        number = 1
        while name in named:
            number += 1
            name = f"{stem}-{number}"
        named[name] = replace(chart, name=name)
    return list(named.values())


def color_rank(method: str) -> int | None:
    """The place of a method among all, which decides its colour and marker in every chart; None for none."""
    return list(METHODS).index(method) if method in METHODS else None
