"""What an experiment would cost on this machine: the seconds of each kind of work, times how often it is asked for.

    for line in estimate(graph, missing_stages, "cpu"): ...

Start-up of workers and reading of files are not in it; a stage's seconds are those of one worker with all cores.
"""

from dataclasses import dataclass
from typing import Any

from ddb.data import BENCHMARKS, DataMissing, load_dataset
from ddb.experiment.graph import Graph
from ddb.stages import KINDS
from ddb.stages.speed import Size, Speed
from ddb.store import Stage


@dataclass(frozen=True)
class Cost:
    """Stages of one kind together: `unit` says what one of the measured things is."""

    name: str
    stages: int
    unit: str
    unit_seconds: float
    seconds: float  # of all stages of this kind, one after the other


def data_size(settings: Any) -> Size:
    """From the data set itself where it is here, else from what is published of it."""
    try:
        dataset = load_dataset(settings)
    except DataMissing:
        benchmark = BENCHMARKS[settings.name]
        if benchmark.size is None:
            raise
        return Size(*benchmark.size)
    return Size(len(dataset.classes), len(dataset["train"]), len(dataset["val"]))


def costs(graph: Graph, stages: list[Stage], device: str = "cpu") -> dict[str, tuple[float, float]]:
    """By key, the seconds of a unit and of the whole stage, of those of `stages` that cost something.

    Raises DataMissing where the size of the data set is unknown.
    """
    settings = {cell.stage.inputs["data"].key: cell.config.dataset for cell in graph.cells}
    known = {key: (data_size(each), each.image_size) for key, each in settings.items()}
    speeds = {shape: Speed(*shape, device) for shape in {(size.classes, pixels) for size, pixels in known.values()}}
    found = {}
    for stage in stages:
        if KINDS[stage.name].unit:
            size, pixels = known[next(each.key for each in stage.ancestors() if each.key in known)]
            found[stage.key] = KINDS[stage.name].cost(stage, speeds[size.classes, pixels], size)
    return found


def estimate(graph: Graph, stages: list[Stage], device: str = "cpu") -> list[Cost]:
    """Cost of `stages`, by kind, in the order of the pipeline. Raises DataMissing as `costs` does."""
    by_key = costs(graph, stages, device)
    found: dict[str, list[tuple[float, float]]] = {}  # kind -> (seconds of the unit, seconds of the stage)
    for stage in stages:
        if stage.key in by_key:
            found.setdefault(stage.name, []).append(by_key[stage.key])
    return [
        Cost(name, len(found[name]), kind.unit, found[name][0][0], sum(seconds for _, seconds in found[name]))
        for name, kind in KINDS.items()
        if name in found
    ]
