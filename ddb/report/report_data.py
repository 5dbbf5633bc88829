"""What an experiment's report says of cells and stages: their numbers, their state and where each comes from.

    report = gather(graph, store)
    report.stages[cell.stage.key].record        # of a finished stage; .error of a failed one
    report.rows[0].results[0].metrics           # of one cell

Reads the store only, so that it works while a run is under way.
"""

import itertools
import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ddb import yaml_text
from ddb.report import table
from ddb.report.sheets import GUIDANCE, axis_title, value_text
from ddb.store import Stage, Store, canonical_json

if TYPE_CHECKING:
    from ddb.experiment.config_file import Point
    from ddb.experiment.graph import Cell, Graph

SEPARATE = ("base", "dataset.name")  # varied settings of which every value has settings of its own: a file for each


@dataclass(frozen=True)
class Facts:
    """A stage of the graph and, where it is finished, where its result comes from."""

    stage: Stage
    title: str
    state: str  # finished, failed, blocked (a stage that it needs failed) or missing
    record: dict[str, Any] | None  # record.json of a finished one
    error: str | None  # last line of a failed one's error

    @property
    def commit(self) -> str | None:
        """What it was computed with, and whether tracked files differed from that."""
        if self.record is None:
            return None
        if self.record["git"] is None:
            return "outside a checkout"
        return self.record["git"]["commit"] + ", with uncommitted changes" * self.record["git"]["dirty"]

    @property
    def machine(self) -> str | None:
        return f"{self.record['host']}, {self.record['device']}" if self.record else None


@dataclass(frozen=True)
class Result:
    """One cell: its seed, and what its test gave."""

    cell: "Cell"
    facts: Facts  # of the evaluation
    training: Facts
    metrics: dict[str, Any]  # metrics.json; empty where it is not finished


@dataclass(frozen=True)
class ResultRow:
    """A row of the table with the cells behind it."""

    row: table.Row
    results: list[Result]  # by seed
    configurations: list[
        tuple[str, list[int]]
    ]  # of the classifiers as JSON without the seed, and the seeds that share it

    @property
    def groups(self) -> list[str]:
        """Names of the groups that some cell was tested on."""
        return list(dict.fromkeys(name for result in self.results for name in result.metrics.get("group_accuracy", {})))


@dataclass(frozen=True)
class Failure:
    """A stage whose last attempt failed, and the cells that wait for it."""

    facts: Facts
    cells: list[str]


@dataclass(frozen=True)
class Provenance:
    """What all finished stages together come from; counts are of stages."""

    configurations: list[tuple[str, str]]  # what tells one from the others, and the YAML of a file that `ddb run` takes
    commits: dict[str, int]
    machines: dict[str, int]
    packages: dict[str, str]
    period: tuple[str, str] | None  # start of the first and end of the last stage
    locations: list[str]  # folders of the data sets' files


@dataclass(frozen=True)
class Report:
    """All of the report but its pictures, curves and costs."""

    datasets: list[str]
    methods: list[str]
    seeds: list[int]
    varied: dict[str, list[str]]  # title of each varied setting -> its values
    rows: list[ResultRow]
    stages: dict[str, Facts]  # every stage of the graph, by key, inputs before what needs them
    failures: list[Failure]
    notes: list[str]  # what was left out of the experiment, and data that is not there
    provenance: Provenance

    def cells(self, *states: str) -> int:
        """How many cells are in one of the states."""
        return sum(result.facts.state in states for row in self.rows for result in row.results)


def gather(graph: "Graph", store: Store) -> Report:
    """Everything that is known of the graph's cells and stages."""
    stages = _stages(graph, store)
    rows = [_row(row, stages, store) for row in table.rows(graph, store)]
    failures = [
        Failure(facts, [stages[c.classifier.key].title for c in graph.cells if facts.stage.key in _needed(c)])
        for facts in stages.values()
        if facts.state == "failed"
    ]
    varied: dict[str, dict[str, None]] = {}
    for point in graph.experiment.points:
        for name, value in point.varied.items():
            varied.setdefault(_axis(name), {})[value_text(value)] = None
    return Report(
        list(dict.fromkeys(_dataset_title(cell) for cell in graph.cells)),
        list(dict.fromkeys(cell.method for cell in graph.cells)),
        sorted({cell.seed for cell in graph.cells}),
        {title: list(values) for title, values in varied.items()},
        rows,
        stages,
        failures,
        [
            *graph.experiment.notes,
            *(f"cannot run yet: {reason}" for reason in dict.fromkeys(graph.missing_data.values())),
        ],
        _provenance(graph, stages),
    )


def agreed_settings(graph: "Graph") -> dict[str, dict[str, Any]]:
    """For every stage, by key: the varied settings of which all cells that rest on it have the same value.

    A stage on which no cell rests, such as an alignment, has those of its inputs.
    """
    found: dict[str, dict[str, Any]] = {}
    for cell in graph.cells:
        settings = {name: value for name, value in table.shown(cell.settings).items() if value is not None}
        for key in _needed(cell):
            known = found.setdefault(key, settings)
            found[key] = {name: value for name, value in known.items() if settings.get(name) == value}
    for stage in graph.stages():
        if stage.key not in found:
            found[stage.key] = {n: v for needed in stage.inputs.values() for n, v in found[needed.key].items()}
    return found


def settings_text(settings: dict[str, Any]) -> list[str]:
    """Each varied setting with its value."""
    return [f"{axis_title(name)} {value_text(value)}" for name, value in settings.items()]


def _stages(graph: "Graph", store: Store) -> dict[str, Facts]:
    titles = _titles(graph)
    found: dict[str, Facts] = {}
    for stage in graph.stages():
        record = store.record(stage) if store.has(stage) else None
        error = None if record else store.failure(stage)
        stuck = any(found[needed.key].state in ("failed", "blocked") for needed in stage.inputs.values())
        state = "finished" if record else "failed" if error is not None else "blocked" if stuck else "missing"
        last = None if error is None else (error.strip().splitlines() or ["no message"])[-1]
        found[stage.key] = Facts(stage, titles[stage.key], state, record, last)
    return found


def _titles(graph: "Graph") -> dict[str, str]:
    """Every stage in words, by key."""
    methods = {cell.classifier.key: cell.method for cell in graph.cells}
    guidances = {cell.classifier.key: cell.guidance for cell in graph.cells}
    settings, found = agreed_settings(graph), {}
    several = len({cell.dataset for cell in graph.cells}) > 1
    for stage in graph.stages():
        if "classifier" in stage.inputs:
            found[stage.key] = f"{stage.name}, {found[stage.inputs['classifier'].key]}"
            continue
        drawn = stage if "sampling" in stage.config else stage.inputs.get("synthetic")
        guidance = drawn.config["sampling"]["guidance"] if drawn else guidances.get(stage.key)
        data = next(each for each in stage.ancestors() if "dataset" in each.config)
        parts = [methods.get(stage.key, stage.name)]
        if stage.config.get("amplifier", {}).get("source") == "real":
            parts.append("on real images")
        if guidance is not None:
            parts.append(f"w = {guidance:g}")
        parts += settings_text(settings[stage.key])
        if several or stage is data:
            parts.append(data.config["dataset"]["name"])
        seed = stage.config.get("seed", drawn.config["seed"] if drawn else None)
        found[stage.key] = ", ".join([*parts, *([] if seed is None else [f"seed {seed}"])])
    return found


def _dataset_title(cell: "Cell") -> str:
    """The benchmark's name; of people's own images the folder, whose name says more."""
    root = getattr(cell.config.dataset, "root", None)
    return root.name if cell.dataset == "folder" and root and root.name else cell.dataset


def _axis(name: str) -> str:
    return {"sampling.guidance": GUIDANCE, "dataset.name": "data set", "base": "data set"}.get(name) or axis_title(name)


def _needed(cell: "Cell") -> set[str]:
    return {stage.key for stage in cell.stage.ancestors()}


def _row(row: table.Row, stages: dict[str, Facts], store: Store) -> ResultRow:
    results = []
    for cell in row.cells:
        metrics = store.read_json(cell.stage, "metrics") or {}
        results.append(Result(cell, stages[cell.stage.key], stages[cell.classifier.key], metrics))
    configurations: dict[str, list[int]] = {}
    for cell in row.cells:
        text = canonical_json({name: value for name, value in cell.classifier.config.items() if name != "seed"})
        configurations.setdefault(text, []).append(cell.seed)
    pretty = [(json.dumps(json.loads(text), indent=1), seeds) for text, seeds in configurations.items()]
    return ResultRow(row, sorted(results, key=lambda result: result.cell.seed), pretty)


def _provenance(graph: "Graph", stages: dict[str, Facts]) -> Provenance:
    records = [facts.record for facts in stages.values() if facts.record]
    packages: dict[str, dict[str, None]] = {}
    for record in records:
        for name, version in {"python": record["python"], **record["packages"]}.items():
            packages.setdefault(name, {})[version] = None
    ends = [(datetime.fromisoformat(record["finished"]), record["seconds"]) for record in records]
    period = None
    if ends:
        first, last = min(end - timedelta(seconds=seconds) for end, seconds in ends), max(end for end, _ in ends)
        period = (first.isoformat(timespec="seconds"), last.isoformat(timespec="seconds"))
    return Provenance(
        _configurations(graph.experiment.points),
        dict(Counter(facts.commit for facts in stages.values() if facts.commit).most_common()),
        dict(Counter(facts.machine for facts in stages.values() if facts.machine).most_common()),
        {name: ", ".join(versions) for name, versions in packages.items()},
        period,
        list(dict.fromkeys(facts.stage.location for facts in stages.values() if facts.stage.location)),
    )


def _configurations(points: "tuple[Point, ...]") -> list[tuple[str, str]]:
    """Files that give the same points again, one for each data set where these vary."""
    together: dict[str, list[Point]] = {}
    for point in points:
        name = ", ".join(str(point.varied[axis]) for axis in SEPARATE if point.varied.get(axis) is not None)
        together.setdefault(name, []).append(point)
    found = []
    for name, some in together.items():
        values = some[0].config.model_dump(mode="json")
        combinations = [{k: v for k, v in point.varied.items() if k not in SEPARATE} for point in some]
        if any(combinations):
            values["vary"] = _grid(combinations)
        found.append((name, yaml_text.write(values)))
    return found


def _grid(combinations: list[dict[str, Any]]) -> dict[str, list] | list[dict[str, list]]:
    """`vary` for these combinations in this order: one grid where they are one, else one section for each."""
    axes: dict[str, list] = {}
    for combination in combinations:
        for name, value in combination.items():
            if value not in axes.setdefault(name, []):
                axes[name].append(value)
    full = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    if full == combinations:
        return axes
    return [{name: [value] for name, value in combination.items()} for combination in combinations]
