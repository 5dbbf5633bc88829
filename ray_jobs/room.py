"""How many stages fit on the nodes at once, by CPUs, GPUs and memory."""

from dataclasses import dataclass

from ddb.config import ResourceSettings
from ddb.errors import DDBError
from ddb.stages import KINDS
from ddb.stages.needs import Capacity, Demand
from ddb.store import Stage


@dataclass(frozen=True)
class Needs:
    """A demand with the memory of its processes in bytes: of those that compute nothing, and of each worker."""

    demand: Demand
    beside: int
    worker: int


def demand_now(stage: Stage, capacity: Capacity, resources: ResourceSettings) -> Demand | None:
    """The demand if nodes may have been lost; None to wait for one. Raises DDBError if it is too large."""
    kind = KINDS[stage.name]
    try:
        return kind.demand(stage, capacity, resources)
    except DDBError:
        return None if resources.lost_node == "wait" else kind.demand_after_loss(stage, capacity, resources)


def needs(stage: Stage, demand: Demand) -> Needs:
    """What `stage` takes with so many workers."""
    return Needs(demand, *KINDS[stage.name].memory(stage, demand))


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
