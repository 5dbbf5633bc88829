"""The stage graph of an experiment on Ray: what is ready and fits runs, what is there is reused, failures stay apart.

    python -m ray_jobs.run_experiment configs/colored_digits.yaml seeds=[0]

Each stage is a Ray task that claims the result, computes and commits it; `cdpm` and `synthetic` tasks start
workers of their own. This loop admits a stage only while its demand fits the cluster, so that single tasks cannot
starve a training that needs several cores at once. A stage that is lost with its process or node runs again, from its
last checkpoint or finished parts where it has them, on whatever is left. A stage that another process computes is
looked after from here and holds nothing; the rest goes on.
"""

import contextlib
import os
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ddb import interrupt, progress
from ddb.errors import DDBError, Interrupted
from ddb.experiment import Plan
from ddb.stages import KINDS
from ddb.stages.needs import Capacity, Demand
from ddb.store import Stage, Store
from ddb.store.claim import Claim
from ray_jobs import cluster, placement
from ray_jobs.failures import explain
from ray_jobs.room import Needs, Room, demand_now, needs
from ray_jobs.rounds import Rounds
from ray_jobs.stage_task import produce
from ray_jobs.waiting import Waiting

POLL = 0.2  # seconds between two passes
RETRIES = 3  # of a stage whose process or node is lost; an error of its own is never tried again
REQUEUE = "DDB_REQUEUE"  # 1: what started this run queues it again, by the launcher's word
CLUSTER_EVERY = 1.0  # seconds between two questions which nodes there are
LISTING_EVERY = 3.0  # seconds between two looks at what other processes have finished
STARTS = 50  # stages that one pass begins at most: each asks the store three questions
LOOKS, READS = 5, 20  # claims of other processes and progress files per second, however many there are


@dataclass
class Outcome:
    """What became of every stage, by key."""

    cached: list[Stage] = field(default_factory=list)  # there before, or computed by another process meanwhile
    computed: list[Stage] = field(default_factory=list)
    failed: dict[str, tuple[Stage, str]] = field(default_factory=dict)  # key -> stage, error; also those that it blocks
    interrupted: list[Stage] = field(default_factory=list)  # left undone, since the run was asked to end early
    reason: str = "interrupted"  # why, where stages were


@dataclass(frozen=True)
class Event:
    """Something that a person may want to see.

    Kind is cached, started, progress, finished, failed, interrupted, elsewhere (another process computes it) or shared
    (that process has finished it).
    """

    kind: str
    stage: Stage
    seconds: float = 0.0
    numbers: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    owner: str = ""


def run_plan(
    plan: Plan, store: Store, capacity: Capacity, notify: Callable[[Event], None], only: str | None = None
) -> Outcome:
    """Compute all that is missing (with `only`: of the stages of that name and their inputs).

    A failed stage stops only what needs it; its error is recorded in the store. When the run is asked to end early
    (`ddb.interrupt`), nothing is begun any more, and what is under way ends where it can go on.
    """
    run = Run(plan, store, capacity, notify, only)
    while run.unfinished():
        run.one_pass()
    return run.outcome


@dataclass
class _Running:
    stage: Stage
    began: float
    needs: Needs
    taken: list[tuple]


class Run:
    """One run of a plan: `one_pass` until nothing is unfinished."""

    def __init__(
        self, plan: Plan, store: Store, capacity: Capacity, notify: Callable[[Event], None], only: str | None = None
    ):
        self.store, self.notify, self.capacity = store, notify, capacity
        self.resources, self.outcome = plan.config.resources, Outcome()
        self.id = secrets.token_hex(8)  # an attempt of this run is over when it begins the next one
        stages = {stage.key: stage for stage in plan.stages(only) if not plan.lacks_data(stage)}
        missing = {key: stage for key, stage in stages.items() if not store.has(stage)}
        for stage in missing.values():  # a demand that can never be met is an error before any work
            KINDS[stage.name].demand(stage, capacity, self.resources)
        for key, stage in stages.items():
            if key not in missing:
                self._done(stage, "cached")
        self.waiting = Waiting(missing)
        self.running: dict[Any, _Running] = {}
        self.elsewhere = Rounds(LISTING_EVERY, LOOKS)
        self._reports = Rounds(POLL, READS)
        self._failed_before = {key: store.failure_time(stage) for key, stage in missing.items()}
        self._needs: dict[str, Needs | None] = {}  # of ready stages on the nodes that there are
        self._room = Room(capacity)
        self._asked = self._listed = time.monotonic()

    def unfinished(self) -> bool:
        """Whether anything is under way, here or elsewhere, or could be."""
        return bool(len(self.waiting) or self.running or len(self.elsewhere))

    def one_pass(self) -> None:
        """Look at everything once, start what fits, and wait POLL seconds at most for something to end."""
        if time.monotonic() - self._asked > CLUSTER_EVERY:
            self._look_at_cluster()
        if interrupt.requested():
            left = [*self.waiting.give_up(), *(stage for stage, _ in self.elsewhere.things())]
            self.outcome.interrupted += left
            self.elsewhere = Rounds(LISTING_EVERY, LOOKS)
        self._look_elsewhere()
        self._start()
        for reference in self._ended():
            self._finish(reference)
        for each in self._reports.due():
            report = progress.read(self.store.work_path(each.stage))
            if report:
                self.notify(Event("progress", each.stage, time.time() - each.began, report))

    def _look_at_cluster(self) -> None:
        """Where nodes came or went: what no longer fits begins again, with less if it can."""
        self._asked = time.monotonic()
        capacity = cluster.capacity()
        if capacity == self.capacity:
            return
        self.capacity, self._room = capacity, Room(capacity)
        self._needs.clear()
        for reference, each in list(self.running.items()):
            each.taken = []  # what it had was counted in the room that the old nodes had
            if capacity.hosts(each.needs.demand):
                each.taken = self._room.take(each.needs) or self._room.take(each.needs, memory=False) or []
            else:  # Ray would wait for ever for a node as large as the lost one
                ray.cancel(reference, force=True)
                placement.release_unmet(capacity)
                self._drop(reference)
                self.waiting.again(each.stage)

    def _look_elsewhere(self) -> None:
        """What other processes have finished, failed or left."""
        if len(self.elsewhere) and time.monotonic() - self._listed > LISTING_EVERY:
            self._listed = time.monotonic()
            waited_for = [stage for stage, _ in self.elsewhere.things()]
            finished = self.store.finished(waited_for)
            for stage in waited_for:
                if stage.key in finished:
                    self.elsewhere.discard(stage.key)
                    self._done(stage, "shared")
        for stage, claim in self.elsewhere.due():
            if not claim.is_held():
                self.elsewhere.discard(stage.key)
                if self.store.has(stage):
                    self._done(stage, "shared")
                elif not self._failed_meanwhile(stage):
                    self.waiting.again(stage)

    def _start(self) -> None:
        """Begin what is ready and fits; what another process is at work on, or has ended, holds nothing."""
        begun, full = [], set()
        for stage in self.waiting.ready():
            try:
                wanted = self._wanted(stage)
            except DDBError as error:
                begun.append(stage)
                self._fail(stage, str(error), 0.0)
                continue
            if wanted is None and os.environ.get(REQUEUE) == "1":
                self.waiting.begin(begun)
                self._give_up("a node was lost and resources.lost_node is wait: the job is queued again, to go on")
                return
            if wanted is None or wanted in full:
                continue
            if len(begun) >= STARTS:
                break
            taken = self._room.take(wanted)
            if taken is None and not self.running:  # one stage always runs, if only just
                taken = self._room.take(wanted, memory=False)
                if taken is None:
                    begun.append(stage)
                    self._fail(stage, f"no nodes have room for {_in_words(wanted.demand)}", 0.0)
                    continue
            if taken is None:
                full.add(wanted)
                continue
            begun.append(stage)
            if self._ended_or_held(stage):
                self._room.give_back(taken)
                continue
            self.notify(Event("started", stage))
            each = _Running(stage, time.time(), wanted, taken)
            self.running[self._submit(stage, wanted.demand)] = each
            self._reports.add(stage.key, each)
        self.waiting.begin(begun)

    def _wanted(self, stage: Stage) -> Needs | None:
        """What a ready stage needs on the nodes that there are; None to wait for a node."""
        if stage.key not in self._needs:
            needed = demand_now(stage, self.capacity, self.resources)
            self._needs[stage.key] = None if needed is None else needs(stage, needed)
        return self._needs[stage.key]

    def _ended_or_held(self, stage: Stage) -> bool:
        """Whether another process has finished a ready stage, has failed at it since this run began, or computes it."""
        if self.store.has(stage):
            self._done(stage, "shared")
            return True
        if self._failed_meanwhile(stage):
            return True
        claim = self.store.claim(stage)
        if claim.is_held():
            self._wait_for(stage, claim)
            return True
        return False

    def _wait_for(self, stage: Stage, claim: Claim) -> None:
        self.elsewhere.add(stage.key, (stage, claim))
        self.notify(Event("elsewhere", stage, owner=claim.owner()))

    def _failed_meanwhile(self, stage: Stage) -> bool:
        """Takes over the failure of another process: the same stage would fail once more in each of ten jobs."""
        recorded = self.store.failure_time(stage)
        if recorded is None or recorded == self._failed_before[stage.key]:
            return False
        self._count_failed(stage, self.store.failure(stage) or "failed in another process", 0.0)
        return True

    def _submit(self, stage: Stage, needed: Demand) -> Any:
        """Hand a stage to Ray. Those with workers of their own hold nothing themselves."""
        options: dict[str, Any] = {"num_cpus": needed.cpus, "num_gpus": needed.gpus}
        # Inside a Tune trial, a task would otherwise have to fit into what the trial itself holds.
        options["scheduling_strategy"] = "DEFAULT"
        if KINDS[stage.name].has_workers:
            # Its process ends with it, and with that all that it has started and Ray still knows.
            options |= {"num_cpus": 0, "num_gpus": 0, "max_calls": 1}
            if others := cluster.other_nodes():  # the head has the driver and Ray's own processes to carry
                options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(random.choice(others), soft=True)
        task = ray.remote(max_retries=RETRIES, **options)(produce)
        every, batch = self.resources.checkpoint_every, self.resources.sampling_batch
        return task.remote(stage, KINDS[stage.name], str(self.store.root), self.id, needed, every, batch)

    def _ended(self) -> list[Any]:
        """All tasks that are over; waits for the first."""
        if not self.running:
            if self.unfinished():
                time.sleep(POLL)
            return []
        references = list(self.running)
        if not ray.wait(references, num_returns=1, timeout=POLL)[0]:
            return []
        return ray.wait(references, num_returns=len(references), timeout=0)[0]

    def _finish(self, reference: Any) -> None:
        each = self._drop(reference)
        stage, seconds = each.stage, time.time() - each.began
        try:
            ours = ray.get(reference)
        except Exception as error:
            cause = getattr(error, "cause", error)  # of a RayTaskError
            if isinstance(cause, Interrupted):
                self.outcome.interrupted.append(stage)
                self.notify(Event("interrupted", stage, seconds))
            else:
                self._fail(stage, explain(error), seconds)
            return
        if ours:
            self._done(stage, "finished", seconds)
        else:
            self._wait_for(stage, self.store.claim(stage))

    def _drop(self, reference: Any) -> _Running:
        each = self.running.pop(reference)
        self._room.give_back(each.taken)
        self._reports.discard(each.stage.key)
        return each

    def _done(self, stage: Stage, kind: str, seconds: float = 0.0) -> None:
        (self.outcome.computed if kind == "finished" else self.outcome.cached).append(stage)
        if kind != "cached":
            self.waiting.done(stage)
        self.notify(Event(kind, stage, seconds))

    def _fail(self, stage: Stage, text: str, seconds: float) -> None:
        with contextlib.suppress(OSError):  # a full disk, most likely what stopped the stage
            self.store.fail(stage, text)
        self._count_failed(stage, text, seconds)

    def _count_failed(self, stage: Stage, text: str, seconds: float) -> None:
        self.outcome.failed[stage.key] = (stage, text)
        self.notify(Event("failed", stage, seconds, error=text))
        for blocked, blocker in self.waiting.blocked_by(stage):
            self.outcome.failed[blocked.key] = (blocked, f"needs {blocker.name} {blocker.key}, which failed")

    def _give_up(self, reason: str) -> None:
        """End at once, since the run begins anew: what is under way goes on from its last checkpoint then."""
        self.outcome.reason = reason
        self.outcome.interrupted += self.waiting.give_up()
        self.outcome.interrupted += [stage for stage, _ in self.elsewhere.things()]
        self.elsewhere = Rounds(LISTING_EVERY, LOOKS)
        for reference in list(self.running):
            ray.cancel(reference, force=True)
            self.outcome.interrupted.append(self._drop(reference).stage)


def _in_words(needed: Demand) -> str:
    each = f"{needed.cpus} CPUs" + (f" and {needed.gpus} GPU" if needed.gpus else "")
    return f"{needed.workers} workers of {each} each"


if __name__ == "__main__":
    from ray_jobs.job import main

    main(None, __doc__)
