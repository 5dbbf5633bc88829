"""How long a run still takes: by a probe of the machine at first, then by the pace of what is done.

left = TimeLeft({"537a507a0e1d5dc6": 90.0, ...})
left.progress("537a507a0e1d5dc6", 0.5)
left.seconds()
"""

import time

from ddb.errors import DDBError
from ddb.experiment.cost import costs
from ddb.experiment.graph import Graph
from ddb.stages import KINDS
from ddb.stages.needs import Capacity
from ddb.store import Stage

ENOUGH = 0.05  # share of the work from which its pace says more than the probe


class TimeLeft:
    """`costs` are the seconds of each stage by a probe (`ddb.experiment.cost`), by key; others count as nothing."""

    def __init__(self, costs: dict[str, float]):
        self._costs, self._began = costs, time.monotonic()
        self._done: dict[str, tuple[float, float]] = {}  # key -> share that was done when first heard of, and now

    def progress(self, key: str, share: float) -> None:
        """A share from 0 to 1 of a stage is done. What was done before this run, as after a kill, is not its pace."""
        first = self._done.get(key, (0.0 if share == 1 else share, 0.0))[0]
        self._done[key] = first, share

    def seconds(self) -> float | None:
        """None where nothing is known."""
        parts = [(cost, *self._done.get(key, (0.0, 0.0))) for key, cost in self._costs.items()]
        left = sum(cost * (1 - now) for cost, _, now in parts)
        done = sum(cost * (now - first) for cost, first, now in parts)
        if not parts:
            return None
        if done < ENOUGH * (left + done):
            return left
        return left / done * (time.monotonic() - self._began)


def probed(graph: Graph, stages: list[Stage], capacity: Capacity | None, device: str) -> dict[str, float]:
    """Seconds of each stage by a probe on this process's device, by key; together, what they take on the cluster.

    That is all work divided among the slots, or the longest chain of stages that need each other if it is longer;
    without a `capacity`, one after the other. Empty where nothing can be known, as of a data set that is not here.
    """
    try:
        alone = {key: seconds for key, (_, seconds) in costs(graph, stages, device).items()}
        if capacity is None or not alone:
            return alone
        ends: dict[str, float] = {}
        for stage in stages:  # inputs first
            workers = KINDS[stage.name].demand(stage, capacity, graph.config.resources).workers
            before = max((ends.get(needed.key, 0.0) for needed in stage.inputs.values()), default=0.0)
            ends[stage.key] = before + alone.get(stage.key, 0.0) / workers
    except DDBError:
        return {}
    work = sum(alone.values())
    whole = max(work / capacity.slots, *ends.values())
    return {key: seconds * whole / work for key, seconds in alone.items()}
