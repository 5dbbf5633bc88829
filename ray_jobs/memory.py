"""How much memory the processes of a stage take, and how many stages fit on the nodes at once.

Resident bytes, measured on Linux with Ray 2.60 and PyTorch on CPU, shared pages included: sums err to the safe side.
"""

from dataclasses import dataclass

from ddb.artifacts import Stage
from ray_jobs.cluster import Capacity
from ray_jobs.demand import Demand

MB, GB = 2**20, 2**30
TASK = 250 * MB  # a CDPM's, in a new process; one that Ray uses again after a cell keeps that cell's
CONTROLLER = 210 * MB  # Ray Train's, one per CDPM
HELPERS = 4 * 200 * MB  # Ray Train's actors beside it, for one CDPM
SAMPLING = 1000 * MB  # the task of a synthetic set
CDPM_WORKER = 1100 * MB  # without what training keeps
SAMPLER = 1000 * MB  # an actor that draws images
CELL = 1000 * MB  # data, amplifier, target, validation, probe, alignment: one process
ACTIVATIONS = 60  # values that training keeps per pixel and channel of the first level


@dataclass(frozen=True)
class Needs:
    """A demand with the memory of its processes in bytes: of those that compute nothing, and of each worker."""

    demand: Demand
    beside: int
    worker: int


def needs(stage: Stage, demand: Demand) -> Needs:
    """What `stage` takes with so many workers."""
    if stage.name == "cdpm":
        return Needs(demand, TASK + CONTROLLER + HELPERS, CDPM_WORKER + _training(stage, demand))
    if stage.name == "synthetic":
        return Needs(demand, SAMPLING, SAMPLER)
    return Needs(demand, 0, CELL)


def _training(stage: Stage, demand: Demand) -> int:
    """Bytes that training a CDPM takes beside its process; on a GPU they are not ours to count."""
    if demand.gpus:
        return 0
    settings = stage.config["cdpm"]
    size = stage.inputs["data"].config["dataset"]["image_size"]
    return settings["batch_size"] // demand.workers * size**2 * settings["channels"][0] * ACTIVATIONS * 4


class Room:
    """What is left on every node beside the stages of this run."""

    def __init__(self, capacity: Capacity):
        memory = capacity.memory or (float("inf"),) * len(capacity.nodes)
        self._free = [[cpus, gpus, bytes] for (cpus, gpus), bytes in zip(capacity.nodes, memory, strict=True)]

    def take(self, wanted: Needs, memory: bool = True) -> list[tuple] | None:
        """Room for all processes of a stage at once, to be given back, or None; `memory` False asks for no memory."""
        each = wanted.demand
        parts = [(each.cpus, each.gpus, wanted.worker if memory else 0)] * each.workers
        if memory and wanted.beside:
            parts.append((0, 0, wanted.beside))
        taken, node = [], 0
        for part in parts:
            start = node if taken and part == taken[-1][1] else 0  # where one like it did not fit, this does not
            node = next((n for n in range(start, len(self._free)) if self._fits(n, part)), None)
            if node is None:
                self.give_back(taken)
                return None
            self._add(node, part, -1)
            taken.append((node, part))
        return taken

    def give_back(self, taken: list[tuple]) -> None:
        """The stage is over."""
        for node, part in taken:
            self._add(node, part, 1)

    def _fits(self, node: int, part: tuple) -> bool:
        cpus, gpus, memory = self._free[node]
        return cpus >= part[0] and gpus >= part[1] and memory >= part[2]

    def _add(self, node: int, part: tuple, sign: int) -> None:
        for kind, amount in enumerate(part):
            self._free[node][kind] += sign * amount
