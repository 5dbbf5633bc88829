"""How long a run still takes: by a probe of the machine at first, then by the pace of what is done.

left = TimeLeft()
left.progress("537a507a0e1d5dc6", 0.5)
left.estimate({"537a507a0e1d5dc6": 90.0, ...})
left.seconds()
"""

import time
from collections.abc import Iterable

from ddb.errors import DDBError
from ddb.experiment.cost import costs
from ddb.experiment.graph import Graph
from ddb.stages import KINDS
from ddb.stages.needs import Capacity
from ddb.store import Stage

ENOUGH = 0.05  # share of the work from which its pace says more than the probe


class TimeLeft:
    """Takes progress from the beginning of a run, and the costs of its stages once a probe knows them."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._costs: dict[str, float] = {}  # key -> seconds by the probe; stages that are not in it count as nothing
        self._shares: dict[str, tuple[float, float]] = {}  # key -> share that was done when first heard of, and now
        self._left = self._done = 0.0  # seconds by the probe

    def estimate(self, costs: dict[str, float]) -> None:
        """What the probe has found."""
        self._costs, self._left, self._done = costs, sum(costs.values()), 0.0
        shares, self._shares = self._shares, {}
        for key, (first, now) in shares.items():
            self.progress(key, first)
            self.progress(key, now)

    def progress(self, key: str, share: float) -> None:
        """A share from 0 to 1 of a stage is done. What was done before this run, as after a kill, is not its pace."""
        first, before = self._shares.get(key, (0.0, 0.0) if share == 1 else (share, share))
        cost = self._costs.get(key, 0.0)
        if key not in self._shares:
            self._left -= cost * before
        self._shares[key] = first, share
        self._left -= cost * (share - before)
        self._done += cost * (share - before)

    def drop(self, keys: Iterable[str]) -> None:
        """Stages that will not be computed, as they or what they need have failed."""
        for key in keys:
            self._left -= self._costs.pop(key, 0.0) * (1 - self._shares.get(key, (0.0, 0.0))[1])

    def seconds(self) -> float | None:
        """None where nothing is known."""
        if not self._costs:
            return None
        left = max(0.0, self._left)
        if self._done < ENOUGH * (left + self._done):
            return left
        return left / self._done * (time.monotonic() - self._began)


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
    except (DDBError, RuntimeError):  # the latter: a GPU has no room for an estimate
        return {}
    work = sum(alone.values())
    whole = max(work / capacity.slots, *ends.values())
    return {key: seconds * whole / work for key, seconds in alone.items()}
