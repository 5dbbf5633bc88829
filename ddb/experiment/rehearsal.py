"""A rehearsal: an experiment shortened to a few full-size steps of every stage, and what they tell of the whole.

    short = build_graph(shortened(graph, sampled=8))
    ...                                                # compute it
    for line in forecast(graph, short, store, capacity): ...

The second half of every stage is timed, when processes have started and memory is allocated. It is multiplied by what
the whole costs beside the short stage, both by the estimate of a dry run (`ddb.experiment.cost`). A look at the
validation images, which ends every short stage, counts double by that, so the forecast errs to the safe side.
"""

import math
from dataclasses import dataclass, replace

from ddb.experiment.config import ExperimentConfig, check
from ddb.experiment.config_file import Experiment
from ddb.experiment.cost import estimate
from ddb.experiment.graph import Graph
from ddb.lazy import np
from ddb.stages import KINDS
from ddb.stages.needs import Capacity
from ddb.store import Store
from ddb.training.loop import TrainingSettings

STEPS = 40  # of which 20 are timed


@dataclass(frozen=True)
class Forecast:
    """The stages of one kind together, on the whole allocation."""

    kind: str
    stages: int
    memory: int  # bytes: the most that a process took
    gpu_memory: int
    start: float  # seconds of a stage beside its steps
    hours: float


def shortened(graph: Graph, sampled: int) -> Experiment:
    """The experiment of `graph` with one seed, STEPS steps and at most `sampled` images per class."""
    points = [replace(point, config=_short(point.config, sampled)) for point in graph.experiment.points]
    return replace(graph.experiment, points=tuple(points))


def _short(config: ExperimentConfig, sampled: int) -> ExperimentConfig:
    values = config.model_dump(mode="json")
    rows = [row for row in values["methods"].values() if row]
    values["training"].setdefault("steps", TrainingSettings().steps)
    several = [*rows, *(row[name] for row in rows for name in ("amplifier", "sampling") if row.get(name))]
    for section in (values["cdpm"], values["sampling"], values["amplifier"], values["training"], *several):
        for name, most in (("steps", STEPS), ("images_per_class", sampled)):
            if section.get(name) is not None:
                section[name] = min(section[name], most)
    return check(values | {"seeds": values["seeds"][:1]})


def forecast(graph: Graph, short: Graph, store: Store, capacity: Capacity, device: str) -> list[Forecast]:
    """By kind, from the results of `short` in the store."""
    whole, part = ({each.name: each.seconds for each in estimate(g, g.stages(), device)} for g in (graph, short))
    found = []
    for name in dict.fromkeys(stage.name for stage in graph.stages()):
        stages = [stage for stage in graph.stages() if stage.name == name]
        records = [store.record(stage) for stage in short.stages() if stage.name == name]
        timed = [2 * record.get("seconds_of_second_half", 0) for record in records]
        start = float(np.median([max(0, r["seconds"] - steps) for r, steps in zip(records, timed, strict=True)]))
        work = sum(timed) * whole[name] / part[name] if part.get(name) else sum(timed) * len(stages) / len(records)
        demand = KINDS[name].demand(stages[0], capacity, graph.config.resources)
        beside = (n for n in range(len(stages), 1, -1) if capacity.hosts(replace(demand, workers=n * demand.workers)))
        rounds = math.ceil(len(stages) / next(beside, 1))  # of stages side by side
        memory, on_gpu = (max(record.get(of, 0) for record in records) for of in ("peak_memory", "peak_gpu_memory"))
        hours = rounds * (start + work / len(stages)) / 3600
        found.append(Forecast(name, len(stages), memory, on_gpu, start, hours))
    return found
