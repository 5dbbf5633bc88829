"""Curves of an experiment that varies numeric settings, and how fast its amplifiers memorise.

    for chart in charts(plan, store):           # guidance.yaml: accuracies, synthetic images, amplifier, memorisation
        save(chart, "results/guidance/charts")  # <name>.png and <name>.pdf
        chart_svg(chart)                        # for a page

One chart for each varied numeric setting and each question: the metric that papers compare, how good the synthetic
images are, how well the amplifier finds the conflicting images. Other varied settings are further lines; where one of
them is numeric too, each method has a chart of its own, with one line for each value. Only finished numbers are drawn,
so this works while a run is under way. How a chart looks: `ddb.report.chart_figure`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ddb.data import BENCHMARKS
from ddb.report import table
from ddb.report.chart_figure import Chart, Series, chart_figure, chart_svg, save
from ddb.report.sheets import GUIDANCE, TITLES, axis_title, value_text
from ddb.report.table import Row, Summary
from ddb.store import Store, canonical_json

if TYPE_CHECKING:
    from ddb.experiment import AmplifierRun, Plan

__all__ = ["Chart", "Series", "chart_figure", "chart_svg", "charts", "save"]

WIDE = 20  # a setting whose positive values span more than this factor gets a logarithmic axis
W = "sampling.guidance"
APART = ("base", "dataset.name")  # varied settings that make separate charts
SHARES = {"aligned_share": "follow the bias", "right_class_share": "show the right class"}
DETECTION = {"precision": "precision", "recall": "recall", "auroc": "AUROC"}
SHARES_ABOUT = "Synthetic images as a probe sees them that was trained on real, balanced images."
DETECTION_ABOUT = (
    "The error set as a detector of the truly conflicting training images (no precision where it is empty); "
    "AUROC of the loss."
)


@dataclass(frozen=True)
class _Topic:
    """What a chart is about."""

    name: str
    title: str
    y_label: str
    numbers: dict[str, str]  # name of a number -> label of its lines, "" where the method is the label
    about: str  # the first words of the note


@dataclass(frozen=True)
class _Entry:
    """What points rest on: a row, or the synthetic sets or amplifiers that rows share."""

    method: str  # "" where it need not be told
    settings: dict[str, Any]  # varied ones; None where the value changes nothing here, "none" where it is null
    numbers: dict[str, Summary]
    planned: int  # seeds

    def on(self, axis: str) -> Any:
        """Where it is on an axis; None where it has no place there."""
        return None if self.settings[axis] == "none" else self.settings[axis]


@dataclass(frozen=True)
class _Point:
    """One number of a line."""

    family: str
    variant: str
    level: float | None
    x: float | None  # None on a reference line
    number: Summary | None  # None while nothing is finished
    planned: int


def charts(plan: "Plan", store: Store, rows: list[Row] | None = None) -> list[Chart]:
    """Every chart that has a finished number; `rows`, where they are known already, are those of `table.rows`."""
    rows = table.rows(plan, store) if rows is None else rows
    named = {name for row in rows for name in row.settings}  # with the base only where it tells rows apart
    axes = [axis for axis in plan.experiment.axes if axis not in APART or axis in named]
    short = [axis_title(axis) for axis in axes]
    titles = {axis: t if short.count(t) == 1 else axis for axis, t in zip(axes, short, strict=True)}
    datasets = list(dict.fromkeys(row.dataset for row in rows))
    found = []
    for dataset in datasets:
        for axis in axes:
            for topic, entries in _topics(dataset, [row for row in rows if row.dataset == dataset]):
                drawn = _charts(topic, axis, titles, entries)
                found += [_of(dataset, chart) for chart in drawn] if len(datasets) > 1 else drawn
    return _uniquely_named([*found, *_memorisation(plan, store)])


def _of(dataset: str, chart: Chart) -> Chart:
    return replace(chart, name=f"{chart.name}_{dataset}", title=f"{dataset}: {chart.title}")


def _topics(dataset: str, rows: list[Row]) -> Iterator[tuple[_Topic, list[_Entry]]]:
    """What is asked of every setting, and the numbers that answer it."""
    main = BENCHMARKS[dataset].metric
    criteria = ", ".join(dict.fromkeys(row.selection for row in rows))
    entries = [_Entry(row.method, _settings(row), row.metrics, row.planned) for row in rows]
    for metric in [main, *(["aligned_accuracy"] if main == "conflicting_accuracy" else [])]:
        title = f"{TITLES[metric]} accuracy"
        about = f"Test set of {dataset}; selection criterion: {criteria}."
        yield _Topic(metric, title, f"{title} in percent", {metric: ""}, about), entries
    topic = _Topic("synthetic", "synthetic images", "synthetic images in percent", SHARES, f"{dataset}. {SHARES_ABOUT}")
    yield topic, _shared(rows, _synthetic_keys)
    topic = _Topic(
        "amplifier", "bias amplifier", "detector quality in percent", DETECTION, f"{dataset}. {DETECTION_ABOUT}"
    )
    yield topic, _shared(rows, lambda row: row.signal.amplifiers if row.signal else ())


def _settings(row: Row) -> dict[str, Any]:
    """The row's varied settings, with its own guidance where that is one of them."""
    return row.settings | ({W: row.guidance} if W in row.cells[0].settings else {})


def _synthetic_keys(row: Row) -> tuple[str, ...]:
    amplifiers = [cell.classifier.inputs["amplifier"] for cell in row.cells if "amplifier" in cell.classifier.inputs]
    return tuple(stage.inputs["synthetic"].key for stage in amplifiers if "synthetic" in stage.inputs)


def _shared(rows: list[Row], keys: Callable[[Row], tuple[str, ...]]) -> list[_Entry]:
    """One entry for each set of stages, with the settings of the first row that uses it.

    The method is told only where two entries have the same settings otherwise, as when one method overrides them.
    """
    found: dict[tuple[str, ...], _Entry] = {}
    for row in rows:
        if stages := keys(row):
            found.setdefault(stages, _Entry(row.method, _settings(row), row.signal.numbers, len(stages)))
    entries = list(found.values())
    if len({canonical_json(entry.settings) for entry in entries}) < len(entries):
        return entries
    return [replace(entry, method="") for entry in entries]


def _charts(topic: _Topic, axis: str, titles: dict[str, str], entries: list[_Entry]) -> Iterator[Chart]:
    """The topic by `axis`: one chart, or one for each family where a second setting is numeric."""
    touched = [entry for entry in entries if entry.on(axis) is not None]
    values = _values(axis, touched)
    if len(values) < 2 or not _numeric(values):
        return
    others = [name for name in titles if name != axis]
    second = next((o for o in others if _numeric(_values(o, touched)) and _crossed(axis, o, touched)), None)
    named = [o for o in others if o != second and len({value_text(e.settings[o]) for e in touched}) > 1]
    points = list(_points(topic, axis, second, named, titles, entries))
    lines = Counter((point.family, point.variant, point.level) for point in points if point.x is not None)
    if sum(lines.values()) < 2 * sum(number == 1 for number in lines.values()):
        return  # most points stand alone: what tells them apart is something else
    title = f"{topic.title[0].upper()}{topic.title[1:]} by {titles[axis]}"
    name = f"{topic.name}_by_{titles[axis]}"
    x_label = GUIDANCE if axis == W else titles[axis]
    shared = Chart(name, title, x_label, topic.y_label, _wide(values), [], "")
    if second is None:
        yield from _filled(shared, topic, points, values)
        return
    across = [point for point in points if point.x is None and point.level is None]
    for family, variant in dict.fromkeys(line[:2] for line in lines):
        mine = [p for p in points if (p.family, p.variant) == (family, variant) and p.x is not None]
        label = ", ".join(part for part in (family, variant) if part)
        chart = replace(shared, name=f"{name}_{label}", title=f"{title}: {label}", level_label=titles[second])
        yield from _filled(chart, topic, [*mine, *across], values)


def _points(
    topic: _Topic, axis: str, second: str | None, named: list[str], titles: dict[str, str], entries: list[_Entry]
) -> Iterator[_Point]:
    for name, label in topic.numbers.items():
        for entry in entries:
            told = [entry.method] if label and entry.method else []
            level = entry.settings[second] if second else None
            told += [_told(titles[o], entry.settings[o]) for o in named if entry.settings[o] is not None]
            told += [f"{titles[axis]} none"] if entry.settings[axis] == "none" else []
            number = entry.numbers.get(name)
            yield _Point(label or entry.method, ", ".join(told), level, entry.on(axis), number, entry.planned)


def _crossed(axis: str, second: str, entries: list[_Entry]) -> bool:
    """Whether two values of `second` have a line each, all else being equal."""
    lines: dict[str, list[Any]] = {}  # what is equal -> `second` of each entry
    for entry in entries:
        equal = {name: value for name, value in entry.settings.items() if name not in (axis, second)}
        lines.setdefault(canonical_json([entry.method, equal]), []).append(entry.settings[second])
    return any(sum(n > 1 for n in Counter(found).values()) > 1 for found in lines.values())


def _told(title: str, value: Any) -> str:
    """A setting in a label: names such as `ancestral` speak for themselves."""
    return value if isinstance(value, str) and value != "none" else f"{title} {value_text(value)}"


def _filled(chart: Chart, topic: _Topic, points: list[_Point], values: list[float]) -> Iterator[Chart]:
    """`chart` with the lines and the note; nothing where only reference lines have numbers."""
    lines: dict[tuple, list[_Point]] = {}
    for point in points:
        if point.number:
            lines.setdefault((point.family, point.variant, point.level, point.x is None), []).append(point)
    if all(reference for *_, reference in lines):
        return
    series = [_series(found, values) for found in lines.values()]
    if chart.level_label:
        series.sort(key=lambda line: (line.reference, line.level is not None, line.level or 0))
    sentences = [topic.about, _seeds(series)]
    if any(line.reference for line in series):
        sentences.append("Dashed: without a value on this axis.")
    missing = sum(point.number is None for point in points)
    fewer = sum(point.number is not None and point.number["n"] < point.planned for point in points)
    sentences += [f"{missing} of {len(points)} numbers are missing."] * (missing > 0)
    sentences += [f"{fewer} of {len(points)} rest on fewer seeds than planned."] * (fewer > 0)
    yield replace(chart, series=series, note=" ".join(sentences))


def _series(points: list[_Point], values: list[float]) -> Series:
    """The line through `points`, which differ in x alone."""
    first, reference = points[0], points[0].x is None
    if reference:
        points = [replace(first, x=float(end)) for end in (min(values), max(values))]
    points = sorted(points, key=lambda point: point.x)
    mean, std, n = ([point.number[part] for point in points] for part in ("mean", "std", "n"))
    parts = [first.family, first.variant] if first.level is None else [value_text(first.level)]
    label = ", ".join(part for part in parts if part)
    return Series(
        label, [float(p.x) for p in points], mean, std, n, first.family, first.variant, first.level, reference
    )


def _seeds(series: list[Series]) -> str:
    """What the band is, and n."""
    n = [number for line in series for number in line.n]
    if max(n) == 1:
        return "One seed, so no standard deviation."
    number = f"{max(n)}" if min(n) == max(n) else f"{min(n)} to {max(n)}"
    none = ", none for n = 1" if min(n) == 1 else ""
    return f"Mean over seeds (n = {number}); band: ± sample standard deviation (ddof 1){none}."


def _memorisation(plan: "Plan", store: Store) -> list[Chart]:
    """Truly conflicting training images that the amplifier still misclassifies, by epoch.

    Of each source the amplifiers of the first data set that were trained the longest, and of these the plan's first.
    """
    series, trained, total = [], [], None
    for source in ("synthetic", "real"):
        runs = _longest(plan, store, source)
        curves = [store.read_json(run.stage, "curve") for run in runs]
        total = curves[0][0]["conflicting_total"] if curves else total
        if not curves or not total:  # nothing finished; or a bias that is not labelled, or that no image breaks
            continue
        left: dict[float, list[float]] = {}
        for point in (point for curve in curves for point in curve):
            left.setdefault(point["epoch"], []).append(point["conflicting_errors"] / total)
        found = [table.summarize(left[epoch]) for epoch in sorted(left)]
        mean, std, n = ([number[part] for number in found] for part in ("mean", "std", "n"))
        series.append(Series(f"trained on {source} images", sorted(left), mean, std, n))
        trained.append(f"{source}: {_training(runs[0])}")
    if not series:
        return []
    dataset = plan.cells[0].dataset
    note = f"{dataset}, {total} conflicting training images. Amplifiers: {'; '.join(trained)}. {_seeds(series)}"
    title, x_label = "Memorisation by the bias amplifier", "epoch (passes over the amplifier's own training images)"
    return [
        Chart(
            "memorisation",
            title,
            x_label,
            "conflicting images misclassified, in percent",
            False,
            series,
            note,
            whole=True,
        )
    ]


def _longest(plan: "Plan", store: Store, source: str) -> "list[AmplifierRun]":
    """Finished amplifiers, one for each seed, that share the largest number of steps that any was trained for."""
    alike: dict[str, list[AmplifierRun]] = {}
    for run in plan.amplifiers.values():
        stage = run.stage
        if run.source == source and stage.inputs["data"].key == plan.data.key and store.has(stage):
            ancestors = [s.config for s in stage.ancestors() if "dataset" not in s.config]
            settings = [{name: v for name, v in config.items() if name != "seed"} for config in ancestors]
            alike.setdefault(canonical_json(settings), []).append(run)
    return max(alike.values(), key=lambda runs: runs[0].stage.config["amplifier"]["steps"], default=[])


def _training(run: "AmplifierRun") -> str:
    text = f"{run.stage.config['amplifier']['steps']} steps"
    if "synthetic" not in run.stage.inputs:
        return text
    return f"{text}, guidance {value_text(run.stage.inputs['synthetic'].config['sampling']['guidance'])}"


def _values(name: str, entries: Iterable[_Entry]) -> list[Any]:
    """What a setting is varied over, None aside."""
    values = (entry.settings[name] for entry in entries)
    return list({canonical_json(value): value for value in values if value is not None}.values())


def _numeric(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _wide(values: list[float]) -> bool:
    positive = [value for value in values if value > 0]
    return min(values) >= 0 and max(positive) > WIDE * min(positive)


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
