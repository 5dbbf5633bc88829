"""How many stages fit on the nodes at once, by CPUs, GPUs and memory."""

from dataclasses import dataclass
from functools import lru_cache

from ddb.process_memory import CDPM_BESIDE, CDPM_WORKER, CELL, SAMPLER, SAMPLING_TASK
from ddb.store import Stage, canonical_json
from ray_jobs.cluster import Capacity
from ray_jobs.demand import Demand


@dataclass(frozen=True)
class Needs:
    """A demand with the memory of its processes in bytes: of those that compute nothing, and of each worker."""

    demand: Demand
    beside: int
    worker: int


def needs(stage: Stage, demand: Demand) -> Needs:
    """What `stage` takes with so many workers."""
    if stage.name == "cdpm":
        size = stage.inputs["data"].config["dataset"]["image_size"]
        # On a GPU what training keeps is not ours to count.
        training = 0 if demand.gpus else _training(canonical_json(stage.config["cdpm"]), size, demand.workers)
        return Needs(demand, CDPM_BESIDE, CDPM_WORKER + training)
    if stage.name == "synthetic":
        return Needs(demand, SAMPLING_TASK, SAMPLER)
    return Needs(demand, 0, CELL)


@lru_cache
def _training(settings: str, pixels: int, workers: int) -> int:
    """Bytes that one worker's training of a CDPM takes beside its process."""
    from ddb.diffusion.settings import CDPMSettings
    from ddb.memory import cdpm_bytes  # imports torch

    return cdpm_bytes(CDPMSettings.model_validate_json(settings), pixels, classes=10, workers=workers)


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
