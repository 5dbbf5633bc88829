"""Stages that have not begun, and which of them could, kept by counting what each still lacks."""

import os
from bisect import insort
from collections import defaultdict

from ddb.stages import KINDS
from ddb.store import Stage


class Waiting:
    """The stages of a graph that are neither done nor begun nor given up."""

    def __init__(self, missing: dict[str, Stage]):
        """`missing` by key, inputs before what needs them; inputs that are not in it are done."""
        self._stages = dict(missing)
        self._rank = _ranks(list(missing.values()))
        self._lacks, self._needed_by = {}, defaultdict(list)
        for key, stage in missing.items():
            lacking = {needed.key for needed in stage.inputs.values()} & missing.keys()
            self._lacks[key] = len(lacking)
            for needed in lacking:
                self._needed_by[needed].append(key)
        self._ready = sorted((self._rank[key], key) for key, lacking in self._lacks.items() if not lacking)

    def __len__(self) -> int:
        return len(self._stages)

    def ready(self) -> list[Stage]:
        """Stages whose inputs are complete, the most urgent first."""
        return [self._stages[key] for _, key in self._ready]

    def begin(self, stages: list[Stage]) -> None:
        """These have begun, here or elsewhere, or are given up."""
        begun = {stage.key for stage in stages}
        self._ready = [entry for entry in self._ready if entry[1] not in begun]
        for key in begun:
            self._stages.pop(key, None)

    def again(self, stage: Stage) -> None:
        """It has begun and has to begin once more."""
        self._stages[stage.key] = stage
        insort(self._ready, (self._rank[stage.key], stage.key))

    def done(self, stage: Stage) -> None:
        """What needs it lacks one thing less."""
        for key in self._needed_by[stage.key]:
            self._lacks[key] -= 1
            if not self._lacks[key] and key in self._stages:
                insort(self._ready, (self._rank[key], key))

    def blocked_by(self, failed: Stage) -> list[tuple[Stage, Stage]]:
        """Gives up all that needs `failed`: pairs of a stage and that of its inputs which stops it."""
        blocked, queue = [], [failed]
        for blocker in queue:
            for key in self._needed_by[blocker.key]:
                if key in self._stages:
                    stage = self._stages.pop(key)
                    blocked.append((stage, blocker))
                    queue.append(stage)
        return blocked

    def give_up(self) -> list[Stage]:
        """Gives up all; the stages that were left."""
        left = list(self._stages.values())
        self._stages.clear()
        self._ready.clear()
        return left


def _ranks(stages: list[Stage]) -> dict[str, tuple[int, int]]:
    """Order of the stages. Tasks of a job array begin at different ones of equal urgency, to share the work."""
    kinds = defaultdict(list)
    for stage in stages:
        kinds[stage.name].append(stage.key)
    task, tasks = (int(os.environ.get(f"SLURM_ARRAY_TASK_{name}") or 0) for name in ("ID", "COUNT"))
    ranks, kinds_in_order = {}, list(KINDS)  # the longest way to the end first
    for name, keys in kinds.items():
        shift = task % tasks * len(keys) // tasks if tasks else 0
        ranks |= {key: (kinds_in_order.index(name), (place - shift) % len(keys)) for place, key in enumerate(keys)}
    return ranks
