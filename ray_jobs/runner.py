"""Any stage graph on Ray: compute what is missing, reuse the rest; a failure stops only what needs it.

    python -m ray_jobs.runner configs/colored_digits.yaml seeds=[0]

Each stage is a Ray task that asks for CPUs, GPUs and memory, which Ray counts over all drivers. This loop adds what Ray
lacks. Priorities: nothing is submitted after a more urgent stage that has no room yet, so that a CDPM's workers, which
need their CPUs at the same time, do not starve behind single tasks. A shared store: a stage that another process
computes is waited for and takes nothing. Lost nodes: what fits none any more is submitted with fewer workers.
"""

import contextlib
import os
import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import ray
from ray.exceptions import RayError

from ddb import interrupt, progress
from ddb.errors import DDBError, Interrupted
from ddb.experiment.config import ResourceSettings
from ddb.experiment.event import Event
from ddb.experiment.graph import Graph
from ddb.experiment.time_left import probed
from ddb.stages import KINDS
from ddb.stages.needs import Capacity, Demand
from ddb.store import Stage, Store
from ddb.store.claim import Claim
from ray_jobs import cluster, placement
from ray_jobs.failures import explain
from ray_jobs.fastest_workers import fastest_workers
from ray_jobs.stage_task import produce

POLL = 0.2  # seconds between two passes
PROBE_GPU = 0.01  # of a GPU that others use meanwhile
RETRIES = 3  # of a stage whose process or node is lost; an error of its own is never tried again
REQUEUE = "DDB_REQUEUE"  # 1: the SLURM job of this run will be requeued if it asks for that
CLUSTER_EVERY = 1.0  # seconds between two questions which nodes there are
LISTING_EVERY = 3.0  # seconds between two looks at the stages that other processes compute
# Limits that keep a shared file system from noticing how many stages there are.
STARTS, LOOKS, READS = 50, 15, 4  # new stages per pass, claims per listing, progress files per pass


@dataclass
class Outcome:
    """What became of every stage."""

    cached: list[Stage] = field(default_factory=list)  # there before, or computed by another process meanwhile
    computed: list[Stage] = field(default_factory=list)
    failed: dict[str, tuple[Stage, str]] = field(default_factory=dict)  # key -> stage, error; also those that it blocks
    blocked: set[str] = field(default_factory=set)  # keys of those that failed only since they need another one
    interrupted: list[Stage] = field(default_factory=list)  # left undone, since the run was asked to end early
    reason: str = "interrupted"  # why stages were left undone


def run_graph(
    graph: Graph, store: Store, capacity: Capacity, notify: Callable[[Event], None], only: str | None = None
) -> Outcome:
    """Compute all that is missing (with `only`: of the stages of that kind and their inputs), errors into the store.

    If the run is asked to end early (`ddb.interrupt`), no stage begins any more, and others stop where they can resume.
    """
    run = Run(graph, store, capacity, notify, only)
    while run.unfinished():
        run.one_pass()
    return run.outcome


def probe_on_ray(graph: Graph, stages: list[Stage], capacity: Capacity) -> Callable[[], dict[str, float] | None]:
    """Begin a probe beside the first stages; what it found once it is over, by key, and nothing if it failed."""
    options = {"num_cpus": 0, "num_gpus": PROBE_GPU if capacity.gpus else 0, "max_retries": 0}
    device = "cuda" if capacity.gpus else "cpu"
    answer = ray.remote(**options)(probed).remote(graph, stages, capacity, device)

    def found() -> dict[str, float] | None:
        if not ray.wait([answer], timeout=0)[0]:
            return None
        with contextlib.suppress(RayError):
            return ray.get(answer)
        return {}

    return found


def demand_now(stage: Stage, capacity: Capacity, resources: ResourceSettings) -> Demand | None:
    """The demand on the nodes that are left; None to wait for a node. Raises DDBError if it is too large."""
    kind = KINDS[stage.name]
    try:
        demand = kind.demand(stage, capacity, resources)
    except DDBError:
        if resources.lost_node == "wait":
            return None
        demand = kind.demand_after_loss(stage, capacity, resources)
    # An estimate above what the nodes have must not make the stage wait for ever.
    return replace(demand, memory=min(kind.memory(stage, demand), capacity.memory_for_each(demand)))


@dataclass
class _Running:
    stage: Stage
    demand: Demand
    began: float
    attempt: str
    placed: bool  # whether all its workers have begun


class Run:
    """One run of a graph: `one_pass` until nothing is `unfinished`."""

    def __init__(
        self, graph: Graph, store: Store, capacity: Capacity, notify: Callable[[Event], None], only: str | None = None
    ):
        self.store, self.notify, self.capacity = store, notify, capacity
        self.outcome = Outcome()
        self.id = secrets.token_hex(8)  # an attempt of this run is over when it begins the next one
        stages = [stage for stage in graph.stages(only) if not graph.lacks_data(stage)]  # inputs before what needs them
        missing = [stage for stage in stages if not store.has(stage)]
        self.resources = graph.config.resources
        if self.resources.cdpm_workers == "auto":
            workers = fastest_workers([stage for stage in missing if stage.name == "cdpm"], store, capacity)
            self.resources = self.resources.model_copy(update={"cdpm_workers": workers})
        for stage in missing:  # a demand that can never be met is an error before any work
            KINDS[stage.name].demand(stage, capacity, self.resources)
        self.waiting = {stage.key: stage for stage in missing}
        self.running: dict[Any, _Running] = {}  # by Ray's reference
        self.elsewhere: dict[str, tuple[Stage, Claim]] = {}
        self._rank = _ranks(missing)
        self._failed_before = {stage.key: store.failure_time(stage) for stage in missing}
        self._asked = self._listed = self._read = time.monotonic()
        for stage in stages:
            if stage.key not in self.waiting:
                self._done(stage, "cached")

    def unfinished(self) -> bool:
        return bool(self.waiting or self.running or self.elsewhere)

    def one_pass(self) -> None:
        """Look at everything once, start what fits, and wait POLL seconds at most for something to end."""
        if interrupt.requested():
            self._leave("interrupted")
            for reference, each in list(self.running.items()):
                # A task that starts workers never waits in Ray itself.
                begun = KINDS[each.stage.name].has_workers or self.store.claim(each.stage).is_of(self.id)
                if not each.placed or not begun:
                    self._cancel([reference])
        if time.monotonic() - self._asked > CLUSTER_EVERY:
            self._look_at_cluster()
        if time.monotonic() - self._listed > LISTING_EVERY:
            self._look_elsewhere()
        self._start()
        for reference in self._ended():
            self._finish(reference)
        if time.monotonic() - self._read > POLL:
            self._report()

    def _look_at_cluster(self) -> None:
        """After a node was lost, submit again what fits no longer, with fewer workers if possible."""
        self._asked = time.monotonic()
        capacity = cluster.capacity()
        if capacity == self.capacity:
            return
        self.capacity = capacity
        for reference, each in list(self.running.items()):
            if not capacity.hosts(each.demand):  # Ray would wait for ever for a node as large as the lost one
                self.waiting[each.stage.key] = self._end(reference).stage

    def _look_elsewhere(self) -> None:
        """Which stages other processes have finished, or no longer compute."""
        self._listed = time.monotonic()
        for key in self.store.finished([stage for stage, _ in self.elsewhere.values()]):
            self._done(self.elsewhere.pop(key)[0], "shared")
        for stage, claim in list(islice(self.elsewhere.values(), LOOKS)):
            del self.elsewhere[stage.key]
            if claim.is_held():
                self.elsewhere[stage.key] = stage, claim  # at the end of the line
            else:
                self.waiting[stage.key] = stage

    def _start(self) -> None:
        """Submit ready stages, the most urgent first, until one has no room or its workers wait for theirs."""
        if not all(each.placed or self._is_placed(each) for each in self.running.values()):
            return
        begun = 0
        for stage in self._ready():
            if begun == STARTS:
                return
            try:
                demand = demand_now(stage, self.capacity, self.resources)
                if demand and not self.capacity.hosts(demand):
                    raise DDBError(f"no nodes have room for {demand}")
            except DDBError as error:
                self._fail(self.waiting.pop(stage.key), str(error))
                continue
            if demand is None and os.environ.get(REQUEUE) == "1":
                self._leave("a node was lost and resources.lost_node is wait: the job is requeued")
                return self._cancel(list(self.running))
            if demand is None:
                continue
            if not self._has_room(stage, demand):
                return
            begun += 1
            del self.waiting[stage.key]
            if self._ended_or_held(stage):
                continue
            self.notify(Event("started", stage))
            gang, attempt = KINDS[stage.name].gang, secrets.token_hex(4)
            each = _Running(stage, demand, time.time(), attempt, placed=not gang)
            self.running[self._submit(each)] = each
            if gang:
                return

    def _ready(self) -> list[Stage]:
        """Waiting stages whose inputs are complete, the most urgent first."""
        pending = self.waiting.keys() | self.elsewhere.keys() | {each.stage.key for each in self.running.values()}
        ready = [stage for stage in self.waiting.values() if not any(i.key in pending for i in stage.inputs.values())]
        return sorted(ready, key=lambda stage: self._rank[stage.key])

    def _is_placed(self, each: _Running) -> bool:
        """Whether all workers of a gang have begun; until then, Ray may give their CPUs to any other task."""
        folder = self.store.work_path(each.stage) / "resume"
        each.placed = len(list(folder.glob(f"node-{each.attempt}-*"))) >= each.demand.workers
        return each.placed

    def _has_room(self, stage: Stage, demand: Demand) -> bool:
        """Whether a stage can begin; one whose workers need not begin together only needs room for the first."""
        kind = KINDS[stage.name]
        if kind.has_workers and not kind.gang:
            demand = replace(demand, workers=1)
        demands = [demand, *(each.demand for each in self.running.values())]
        return (
            sum(each.workers * each.cpus for each in demands) <= self.capacity.cpus
            and sum(each.workers * each.gpus for each in demands) <= self.capacity.gpus + 1e-4  # as Ray rounds
            and sum(each.workers * each.memory for each in demands) <= (sum(self.capacity.memory) or float("inf"))
        )

    def _ended_or_held(self, stage: Stage) -> bool:
        """Whether another process has finished a ready stage, has failed at it since this run began, or computes it."""
        claim = self.store.claim(stage)
        if self.store.has(stage):
            self._done(stage, "shared")
        elif self.store.failure_time(stage) not in (None, self._failed_before[stage.key]):
            # It would fail again in each of ten jobs.
            self._fail(stage, self.store.failure(stage) or "failed in another process", recorded=True)
        elif claim.is_held():
            self._wait_for(stage, claim)
        else:
            return False
        return True

    def _wait_for(self, stage: Stage, claim: Claim) -> None:
        self.elsewhere[stage.key] = stage, claim
        self.notify(Event("elsewhere", stage, owner=claim.owner()))

    def _submit(self, each: _Running) -> Any:
        """Hand a stage to Ray. The task of one that starts workers takes nothing itself."""
        kind, demand = KINDS[each.stage.name], each.demand
        if kind.has_workers:  # its process ends with the task, and with it all that Ray still knows of its workers
            options: dict[str, Any] = {"num_cpus": 0, "max_calls": 1, "scheduling_strategy": "SPREAD"}
        else:  # without a strategy, a task inside a Tune trial would have to fit into what the trial itself takes
            options = {"num_cpus": demand.cpus, "num_gpus": demand.gpus, "memory": demand.memory,
                       "scheduling_strategy": "DEFAULT"}  # fmt: skip
        task = ray.remote(max_retries=RETRIES, **options)(produce)
        return task.remote(each.stage, kind, str(self.store.root), self.id, each.attempt, demand, self.resources)

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
        each = self.running.pop(reference)
        stage, seconds = each.stage, time.time() - each.began
        try:
            ours = ray.get(reference)
        except Exception as error:
            if isinstance(getattr(error, "cause", error), Interrupted):  # the cause of a RayTaskError
                self._interrupted(stage, seconds)
            else:
                self._fail(stage, explain(error), seconds)
            return
        if ours:
            self._done(stage, "finished", seconds)
        else:
            self._wait_for(stage, self.store.claim(stage))

    def _report(self) -> None:
        """Progress of some running stages, in turn."""
        self._read = time.monotonic()
        for reference in list(islice(self.running, READS)):
            each = self.running[reference] = self.running.pop(reference)  # to the end of the line
            if report := progress.read(self.store.work_path(each.stage)):
                self.notify(Event("progress", each.stage, time.time() - each.began, report))

    def _done(self, stage: Stage, kind: str, seconds: float = 0.0) -> None:
        (self.outcome.computed if kind == "finished" else self.outcome.cached).append(stage)
        self.notify(Event(kind, stage, seconds))

    def _fail(self, stage: Stage, text: str, seconds: float = 0.0, recorded: bool = False) -> None:
        if not recorded:
            with contextlib.suppress(OSError):  # a full disk, most likely what stopped the stage
                self.store.fail(stage, text)
        failed = self.outcome.failed
        failed[stage.key] = (stage, text)
        self.notify(Event("failed", stage, seconds, error=text))
        for key in self._rank:  # inputs before what needs them
            blocked = self.waiting.get(key)
            if blocked and (blocker := next((i for i in blocked.inputs.values() if i.key in failed), None)):
                failed[key] = (blocked, f"needs {blocker.name} {blocker.key}, which failed")
                self.outcome.blocked.add(key)
                del self.waiting[key]

    def _leave(self, reason: str) -> None:
        """Start nothing any more."""
        self.outcome.reason = reason
        self.outcome.interrupted += [*self.waiting.values(), *(stage for stage, _ in self.elsewhere.values())]
        self.waiting.clear()
        self.elsewhere.clear()

    def _cancel(self, references: list[Any]) -> None:
        """End stages at once: the next run resumes them from their last checkpoints."""
        for reference in references:
            each = self._end(reference)
            self._interrupted(each.stage, time.time() - each.began)

    def _interrupted(self, stage: Stage, seconds: float) -> None:
        self.outcome.interrupted.append(stage)
        self.notify(Event("interrupted", stage, seconds))

    def _end(self, reference: Any) -> _Running:
        each = self.running.pop(reference)
        ray.cancel(reference, force=True)
        if KINDS[each.stage.name].gang:
            placement.release(each.stage, self.store)
        return each


def _ranks(stages: list[Stage]) -> dict[str, tuple[bool, int, int]]:
    """Urgency by key; tasks of a job array begin at different stages of equal urgency, to share the work."""
    task, tasks = (int(os.environ.get(f"SLURM_ARRAY_TASK_{name}") or 0) for name in ("ID", "COUNT"))
    keys = defaultdict(list)
    for stage in stages:
        keys[stage.name].append(stage.key)
    places = {}
    for same in keys.values():
        shift = task % tasks * len(same) // tasks if tasks else 0
        places |= {key: (place - shift) % len(same) for place, key in enumerate(same)}
    order = {kind.name: (not kind.goes_first, number) for number, kind in enumerate(KINDS.values())}
    return {stage.key: (*order[stage.name], places[stage.key]) for stage in stages}


if __name__ == "__main__":
    from ray_jobs.job import main

    main(None, __doc__)
