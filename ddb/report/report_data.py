"""What an experiment's report says of cells and stages: their numbers, their state and where each comes from.

    report = Report(Results(graph, store))
    report.stages[cell.stage.key].record        # of a finished stage; .error of a failed one
    report.rows[0].results[0].metrics           # of one cell

Reads finished stages only, so that it works while a run is under way.
"""

import itertools
import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from ddb import yaml_text
from ddb.experiment.results import Results
from ddb.report import table
from ddb.report.titles import GUIDANCE, axis_title, stage_titles, value_text
from ddb.store import Stage, canonical_json

if TYPE_CHECKING:
    from ddb.experiment.config_file import Point
    from ddb.experiment.graph import Cell

SEPARATE = ("base", "dataset.name")  # varied settings of which every value has settings of its own: a file for each
GROUPS = "group_accuracy/"


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


class Result(NamedTuple):
    """One cell, and what its test gave."""

    cell: "Cell"
    facts: Facts  # of the evaluation
    training: Facts
    metrics: dict[str, float]  # empty where it is not finished
    groups: dict[str, float]  # accuracy of each group, where groups are known


class Entry(NamedTuple):
    """A row of the table with the cells behind it."""

    row: table.Row
    results: list[Result]  # by seed
    groups: list[str]  # that some cell was tested on
    configurations: list[tuple[str, str]]  # of the classifiers as JSON without the seed, and the seeds that share it


class Report:
    """All of the report but its pictures, curves and costs."""

    def __init__(self, found: Results):
        self.found, self.graph = found, found.graph
        cells, points = self.graph.cells, self.graph.experiment.points
        self.total, states = len(cells), found.cells["state"].value_counts()
        self.finished, self.stuck = int(states.get("finished", 0)), int(states.get("failed", 0))
        self.datasets = list(dict.fromkeys(_dataset_title(cell) for cell in cells))
        self.methods = list(dict.fromkeys(cell.method for cell in cells))
        self.seeds = sorted({cell.seed for cell in cells})
        self.varied: dict[str, dict[str, None]] = {}  # title of each varied setting -> its values
        for name, value in [pair for point in points for pair in point.varied.items()]:
            title = GUIDANCE if name == "sampling.guidance" else "data set" if name in SEPARATE else axis_title(name)
            self.varied.setdefault(title, {})[value_text(value)] = None
        absent = dict.fromkeys(self.graph.missing_data.values())
        self.notes = [*self.graph.experiment.notes, *(f"cannot run yet: {reason}" for reason in absent)]

    @cached_property
    def stages(self) -> dict[str, Facts]:
        """Every stage of the graph, by key, inputs before what needs them."""
        titles, store = stage_titles(self.graph), self.found.store
        found: dict[str, Facts] = {}
        for stage in self.graph.stages():
            record = store.record(stage) if store.has(stage) else None
            error = None if record else store.failure(stage)
            stuck = any(found[needed.key].state in ("failed", "blocked") for needed in stage.inputs.values())
            state = "finished" if record else "failed" if error is not None else "blocked" if stuck else "missing"
            last = None if error is None else (error.strip().splitlines() or ["no message"])[-1]
            found[stage.key] = Facts(stage, titles[stage.key], state, record, last)
        return found

    @cached_property
    def rows(self) -> list[Entry]:
        """The table's rows with their cells."""
        values = {n: each.set_index("metric")["value"].to_dict() for n, each in self.found.metrics.groupby("cell")}
        numbers = {id(cell): values.get(number, {}) for number, cell in enumerate(self.graph.cells)}
        return [self._entry(row, numbers) for row in table.rows(self.found)]

    def _entry(self, row: table.Row, numbers: dict[int, dict[str, float]]) -> Entry:
        results, together = [], {}
        for cell in sorted(row.cells, key=lambda cell: cell.seed):
            known = numbers[id(cell)]
            groups = {name.removeprefix(GROUPS): value for name, value in known.items() if name.startswith(GROUPS)}
            tested, trained = (self.stages[stage.key] for stage in (cell.stage, cell.classifier))
            results.append(Result(cell, tested, trained, known, groups))
            config = canonical_json({name: value for name, value in cell.classifier.config.items() if name != "seed"})
            together.setdefault(config, []).append(str(cell.seed))
        configurations = [
            (json.dumps(json.loads(text), indent=1), ", ".join(seeds)) for text, seeds in together.items()
        ]
        groups = list(dict.fromkeys(name for result in results for name in result.groups))
        return Entry(row, results, groups, configurations)

    @property
    def failures(self) -> list[tuple[Facts, list[str]]]:
        """Stages whose last attempt failed, and the titles of the cells that wait for each."""
        waiting = {
            facts.stage.key: [
                self.stages[cell.classifier.key].title
                for cell in self.graph.cells
                if facts.stage.key in {stage.key for stage in cell.stage.ancestors()}
            ]
            for facts in self.stages.values()
            if facts.state == "failed"
        }
        return [(self.stages[key], cells) for key, cells in waiting.items()]

    @property
    def commits(self) -> dict[str, int]:
        """Commit -> number of stages."""
        return dict(Counter(facts.commit for facts in self.stages.values() if facts.commit).most_common())

    @property
    def machines(self) -> dict[str, int]:
        """Machine -> number of stages."""
        return dict(Counter(facts.machine for facts in self.stages.values() if facts.machine).most_common())

    @property
    def packages(self) -> dict[str, str]:
        """Package -> its versions."""
        versions: dict[str, dict[str, None]] = {}
        for record in self._records:
            for name, version in {"python": record["python"], **record["packages"]}.items():
                versions.setdefault(name, {})[version] = None
        return {name: ", ".join(each) for name, each in versions.items()}

    @property
    def period(self) -> tuple[str, str] | None:
        """Start of the first and end of the last stage."""
        ends = [(datetime.fromisoformat(record["finished"]), record["seconds"]) for record in self._records]
        if not ends:
            return None
        first, last = min(end - timedelta(seconds=seconds) for end, seconds in ends), max(end for end, _ in ends)
        return first.isoformat(timespec="seconds"), last.isoformat(timespec="seconds")

    @property
    def locations(self) -> list[str]:
        """Folders of the data sets' files."""
        return list(dict.fromkeys(facts.stage.location for facts in self.stages.values() if facts.stage.location))

    @property
    def configurations(self) -> list[tuple[str, str]]:
        """What tells a file from the others, and its YAML, which `ddb run` takes."""
        return _configurations(self.graph.experiment.points)

    @property
    def _records(self) -> list[dict[str, Any]]:
        return [facts.record for facts in self.stages.values() if facts.record]


def _dataset_title(cell: "Cell") -> str:
    """The benchmark's name; of people's own images the folder, whose name says more."""
    root = getattr(cell.config.dataset, "root", None)
    return root.name if cell.dataset == "folder" and root and root.name else cell.dataset


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
    for name, value in [pair for combination in combinations for pair in combination.items()]:
        if value not in axes.setdefault(name, []):
            axes[name].append(value)
    full = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    return axes if full == combinations else [{n: [v] for n, v in each.items()} for each in combinations]
