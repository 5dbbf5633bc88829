"""The numbers of a results table: mean and sample standard deviation over seeds, for each method of a graph.

    for row in rows(Results(graph, store)):
        row.as_json()       # {"dataset", "method", "selection", "guidance", "seeds", "failed", "metrics", ...}
        row.state           # "2/3 seeds, 1 failed"

Nothing is filled in: a seed that failed or has not run lowers `n`, and a metric that needs bias labels is absent
where the data set has none (DESIGN: honest aggregation, missing knowledge is missing).
"""

import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ddb.experiment.results import Results
from ddb.report.equal import equal_to
from ddb.report.paper import published, setting_is_known
from ddb.report.titles import METRICS, SIGNALS, method_title, shown
from ddb.store import canonical_json

if TYPE_CHECKING:
    from ddb.experiment.graph import Cell

Summary = dict[str, Any]  # mean, std, n


@dataclass(frozen=True)
class Signal:
    """What a row's methods were told, and how good it was."""

    amplifiers: tuple[str, ...]  # keys of the amplifiers of all seeds
    source: str  # of the images that they were trained on: synthetic or real
    numbers: dict[str, Summary]  # of SIGNALS, those that are known


@dataclass(frozen=True)
class Row:
    """One method under one setting of what the experiment varies, over all its seeds."""

    dataset: str
    method: str
    selection: str  # criterion that chose the weights
    guidance: float | None  # the paper's w; None for a method that uses no synthetic images
    planned: int  # seeds that the graph asks for
    seeds: list[int]  # seeds that finished, ascending
    failed: int  # seeds that cannot finish, as their evaluation or a stage that it needs failed
    metrics: dict[str, Summary] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what a reader must know of the data set
    settings: dict[str, Any] = field(default_factory=dict)  # varied ones; None where the value changes nothing here
    signal: Signal | None = None  # None for a method without an amplifier
    published: dict[str, Summary] = field(default_factory=dict)  # the paper's numbers, where ours is its benchmark
    papers_setting: bool = False  # whether every setting that matters is known to be the paper's
    by_seed: dict[str, dict[int, float]] = field(default_factory=dict)  # metric -> seed -> value
    cells: "tuple[Cell, ...]" = ()
    oracle: bool = False  # whether the method needs bias labels
    equal_to: "tuple[Row, str] | None" = None  # an earlier row with the same numbers in every seed, and why

    def as_json(self) -> dict[str, Any]:
        """The row as plain JSON values, accuracies in [0, 1]; what `ddb table --format json` prints."""
        values = {
            "dataset": self.dataset,
            "method": self.method,
            "oracle": self.oracle,
            "selection": self.selection,
            "guidance": self.guidance,
            "seeds": self.seeds,
            "failed": self.failed,
            "metrics": self.metrics,
        }
        if self.settings:
            values["settings"] = self.settings
        if self.signal:
            values["amplifier"] = {"source": self.signal.source, **self.signal.numbers}
        if self.published:
            values["paper"] = {name: value | {"gap": self.gap(name)} for name, value in self.published.items()}
        return values

    def gap(self, metric: str) -> float | None:
        """Our mean minus the paper's; None where either is missing, or the settings are not known to be the same."""
        ours, theirs = self.metrics.get(metric), self.published.get(metric)
        if not self.papers_setting:
            return None
        return ours["mean"] - theirs["mean"] if ours and theirs else None

    @property
    def title(self) -> str:
        return method_title(self.method, self.oracle)

    @property
    def complete(self) -> bool:
        return len(self.seeds) == self.planned

    @property
    def state(self) -> str:
        """How many seeds the numbers rest on, and what became of the others."""
        missing = self.planned - len(self.seeds) - self.failed
        parts = [f"{len(self.seeds)}/{self.planned} seeds"]
        parts += [f"{self.failed} failed"] * (self.failed > 0)
        parts += [f"{missing} missing"] * (missing > 0)
        return ", ".join(parts)


def rows(found: Results) -> list[Row]:
    """One row for each data set, method and combination of settings, in this order, each as the graph first has it."""
    together: dict[tuple, list[int]] = {}
    for number, cell in enumerate(found.graph.cells):
        key = (cell.dataset, cell.method, cell.selection, cell.guidance, canonical_json(shown(cell.settings)))
        together.setdefault(key, []).append(number)
    datasets, methods = (list(dict.fromkeys(key[i] for key in together)) for i in (0, 1))
    order = sorted(together, key=lambda key: (datasets.index(key[0]), methods.index(key[1])))
    table = [_row(together[key], found) for key in order]
    return [replace(row, equal_to=equal_to(row, table, found.store)) for row in table]


def _row(numbers: list[int], found: Results) -> Row:
    """The row of some cells, by their numbers in the graph."""
    cells = tuple(found.graph.cells[number] for number in numbers)
    first, state = cells[0], found.cells.loc[numbers, "state"]
    amplified = not {"amplifier", "synthetic"}.isdisjoint(first.classifier.inputs)
    known = found.metrics[found.metrics["cell"].isin(numbers)].pivot(index="seed", columns="metric", values="value")
    by_seed = {name: known[name].dropna().to_dict() for name in METRICS if name in known}
    return Row(
        first.dataset,
        first.method,
        first.selection,
        first.guidance,
        len(cells),
        sorted(found.cells.loc[numbers, "seed"][state == "finished"]),
        int((state == "failed").sum()),
        {name: summarize(list(values.values())) for name, values in by_seed.items()},
        tuple((found.store.read_json(first.stage.inputs["data"], "dataset") or {"notes": ()})["notes"]),
        shown(first.settings),
        _signal(cells, found),
        published(first.config, first.row, amplified),
        setting_is_known(first.dataset, first.row.label),
        by_seed,
        cells,
        first.row.method.needs_groups,
    )


def _signal(cells: "tuple[Cell, ...]", found: Results) -> Signal | None:
    """Quality of the sources that the cells use, and of their synthetic sets."""
    amplifiers = [cell.classifier.inputs["amplifier"] for cell in cells if "amplifier" in cell.classifier.inputs]
    if not amplifiers:
        return None
    keys = tuple(stage.key for stage in amplifiers)
    own = found.signals[found.signals["amplifier"].isin(keys)]  # of a closed form, one for all seeds
    values = {name: own[name].dropna().tolist() for name in SIGNALS if name in own}
    numbers = {name: summarize(each) for name, each in values.items() if each}
    return Signal(keys, amplifiers[0].config["amplifier"]["source"], numbers)


def summarize(values: list[float]) -> Summary:
    """Mean, sample standard deviation (ddof 1; None for a single value) and number of `values`."""
    std = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": std, "n": len(values)}
