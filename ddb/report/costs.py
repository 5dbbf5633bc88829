"""What an experiment cost, and what its finished cells would have cost if no two of them had shared a stage.

    found = costs(graph, store)
    found.seconds, found.shared, found.unshared     # everything; the cells' stages, each once; each cell on its own

Seconds are those of the process that finished a stage, from its record: a stage that was killed and resumed counts from
its last start, and stages that ran side by side count one after the other.
"""

from dataclasses import dataclass

from ddb.experiment.graph import Cell, Graph
from ddb.stages import KINDS
from ddb.store import Stage, Store


@dataclass(frozen=True)
class KindCost:
    """Stages of one kind together."""

    name: str
    planned: int
    stages: int  # finished ones
    seconds: float  # of these, one after the other

    @property
    def mean(self) -> float | None:
        """Seconds of one stage; None where none is finished."""
        return self.seconds / self.stages if self.stages else None


@dataclass(frozen=True)
class Costs:
    """Seconds of the finished stages of a graph."""

    kinds: tuple[KindCost, ...]  # those that the graph has, in the order of the pipeline
    cells: int  # finished cells, all of whose inputs still have their records
    shared: float  # seconds of all stages that these cells rest on, each counted once
    unshared: float  # the same, had each cell computed them for itself

    @property
    def seconds(self) -> float:
        """Of everything that is finished, also of what no cell rests on, such as the alignment."""
        return sum(kind.seconds for kind in self.kinds)


def costs(graph: Graph, store: Store) -> Costs:
    """The costs so far; a cell that uses the first k of n synthetic images per class is charged k / n of their time."""
    stages = graph.stages()
    seconds = {stage.key: store.record(stage)["seconds"] for stage in stages if store.has(stage)}
    kinds = []
    for name in KINDS:
        planned = [stage.key for stage in stages if stage.name == name]
        done = [seconds[key] for key in planned if key in seconds]
        if planned:
            kinds.append(KindCost(name, len(planned), len(done), sum(done)))
    used = [needed for cell in graph.cells if (needed := _needed(cell)).keys() <= seconds.keys()]
    shared = sum(seconds[key] for key in {key for needed in used for key in needed})
    unshared = sum(seconds[key] * _share(stage, needed) for needed in used for key, stage in needed.items())
    return Costs(tuple(kinds), len(used), shared, unshared)


def _needed(cell: Cell) -> dict[str, Stage]:
    """The cell's evaluation and everything that it rests on, by key."""
    return {stage.key: stage for stage in cell.stage.ancestors()}


def _share(stage: Stage, needed: dict[str, Stage]) -> float:
    """The share of the stage's work that this cell alone would have asked for."""
    users = [user for user in needed.values() if stage.key in {each.key for each in user.inputs.values()}]
    return KINDS[stage.name].share(stage, users)
