"""The stage graph of an experiment on Ray: what is ready and fits runs, what is there is reused, failures stay apart.

    python -m ray_jobs.run_experiment configs/colored_digits.yaml seeds=[0]

Each stage is a Ray task that takes the artifact's lock, computes and commits it; `cdpm` and `synthetic` tasks start
workers of their own. This loop admits a stage only while its demand fits the cluster, so that single tasks cannot
starve a training that needs several cores at once. A stage that is lost with its process or node runs again, from its
last checkpoint or finished parts where it has them, on whatever is left.
"""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray
import torch
from ray.exceptions import RayTaskError

from ddb import interrupt, progress
from ddb.artifacts import Stage, Store
from ddb.config import ResourceSettings
from ddb.errors import DDBError, Interrupted
from ddb.experiment import Plan
from ddb.stages import Machine, run_classifier_stage, write_record
from ray_jobs import cluster, placement
from ray_jobs.cluster import Capacity

# Longest way to the end first.
PRIORITY = ("data", "cdpm", "synthetic", "amplifier", "target", "validation", "probe", "alignment")
POLL = 0.2  # seconds
RETRIES = 3  # of a stage whose process or node is lost; an error of its own is never tried again


@dataclass
class Outcome:
    """What became of every stage, by key."""

    cached: list[Stage] = field(default_factory=list)
    computed: list[Stage] = field(default_factory=list)
    failed: dict[str, tuple[Stage, str]] = field(default_factory=dict)  # key -> stage, error; also those that it blocks
    interrupted: list[Stage] = field(default_factory=list)  # left undone, since the run was asked to end early


@dataclass(frozen=True)
class Event:
    """Something that a person may want to see: kind is cached, started, progress, finished, failed, interrupted."""

    kind: str
    stage: Stage
    seconds: float = 0.0
    numbers: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Demand:
    """What a stage needs at once: `workers` processes, each with so many CPUs and GPUs."""

    workers: int = 1
    cpus: int = 1
    gpus: int = 0


def demand(stage: Stage, capacity: Capacity, resources: ResourceSettings) -> Demand:
    """What `stage` needs of the cluster. Raises DDBError where there is not as much."""
    gpu = 1 if capacity.gpus else 0
    limit, unit = (capacity.gpus, "GPU") if gpu else (capacity.cpus, "CPU")
    if stage.name == "cdpm":
        workers, setting = resources.cdpm_workers, "cdpm_workers"
        cpus = 1 if gpu else capacity.cpus_for_each(workers)
    elif stage.name == "synthetic":
        workers, setting, cpus = resources.sampling_actors or limit, "sampling_actors", 1
    elif stage.name == "data":
        return Demand(cpus=capacity.cpus_for_each(1))
    else:
        cpus, largest = resources.cell_cpus, capacity.cpus_for_each(1)
        if cpus > largest:
            raise DDBError(f"resources.cell_cpus: {cpus} asked for, but no node has more than {largest} CPUs")
        return Demand(cpus=cpus, gpus=gpu)
    if workers > limit:
        raise DDBError(f"resources.{setting}: {workers} asked for, but there are {limit} {unit}s")
    return Demand(workers, cpus, gpu)


def demand_now(stage: Stage, capacity: Capacity, resources: ResourceSettings) -> Demand | None:
    """The demand where nodes may have been lost since the start: fewer workers, or None to wait, as the settings say.

    Raises DDBError for what cannot do with less.
    """
    try:
        return demand(stage, capacity, resources)
    except DDBError:
        if resources.lost_node == "wait":
            return None
        limit = capacity.gpus or capacity.cpus
        if stage.name == "synthetic" and limit:
            return demand(stage, capacity, resources.model_copy(update={"sampling_actors": limit}))
        if stage.name != "cdpm" or not limit or _split(stage):
            raise
        batch_size = stage.config["cdpm"]["batch_size"]
        workers = max(number for number in range(1, limit + 1) if batch_size % number == 0)
        return demand(stage, capacity, resources.model_copy(update={"cdpm_workers": workers}))


def _split(stage: Stage) -> bool:
    """Whether the checkpoints of a CDPM hold a part of the optimizer per worker, which fewer could not read."""
    return stage.config["cdpm"]["engine"] == "deepspeed" and stage.config["cdpm"]["zero_stage"] > 0


def run_plan(
    plan: Plan, store: Store, capacity: Capacity, notify: Callable[[Event], None], only: str | None = None
) -> Outcome:
    """Compute all that is missing (with `only`: of the stages of that name and their inputs).

    A failed stage stops only what needs it; its error is recorded in the store. When the run is asked to end early
    (`ddb.interrupt`), nothing is begun any more, and what is under way ends where it can go on.
    """
    resources = plan.config.resources
    stages = {stage.key: stage for stage in plan.stages(only) if not plan.lacks_data(stage)}
    missing = {key: stage for key, stage in stages.items() if not store.has(stage)}
    for stage in missing.values():
        demand(stage, capacity, resources)  # what can never be met is told before any work
    outcome = Outcome()
    done = set()
    for key, stage in stages.items():
        if key not in missing:
            done.add(key)
            outcome.cached.append(stage)
            notify(Event("cached", stage))
    waiting = sorted(missing.values(), key=lambda stage: PRIORITY.index(stage.name))
    running: dict[Any, tuple[Stage, float, Demand]] = {}
    while waiting or running:
        capacity = cluster.capacity()
        if interrupt.requested():
            outcome.interrupted += waiting
            waiting.clear()
        for reference, (stage, _, needed) in list(running.items()):
            if not _hosted(needed, capacity):  # Ray would wait for ever for a node as large as the lost one
                ray.cancel(reference, force=True)
                placement.release_unmet(capacity)
                del running[reference]
                waiting.insert(0, stage)
        for stage in _ready(waiting, done, outcome):
            try:
                needed = demand_now(stage, capacity, resources)
            except DDBError as error:
                waiting.remove(stage)
                _fail(stage, str(error), 0.0, outcome, store, notify)
                continue
            if needed is None:
                continue
            if _fits(needed, [taken for _, _, taken in running.values()], capacity):
                waiting.remove(stage)
                notify(Event("started", stage))
                task = _task(needed, stage.name)
                running[task.remote(stage, str(store.root), resources, needed)] = (stage, time.time(), needed)
        if not running:
            time.sleep(POLL)
        finished, _ = ray.wait(list(running), num_returns=1, timeout=POLL) if running else ([], [])
        for reference in finished:
            stage, began, _ = running.pop(reference)
            _finish(reference, stage, time.time() - began, done, outcome, store, notify)
        for stage, began, _ in running.values():
            report = progress.read(store.work_path(stage))
            if report:
                notify(Event("progress", stage, time.time() - began, report))
    return outcome


def _ready(waiting: list[Stage], done: set, outcome: Outcome) -> list[Stage]:
    """Stages whose inputs are complete; drops those that a failed input blocks."""
    for stage in list(waiting):
        blocker = next((needed for needed in stage.inputs.values() if needed.key in outcome.failed), None)
        if blocker:
            waiting.remove(stage)
            outcome.failed[stage.key] = (stage, f"needs {blocker.name} {blocker.key}, which failed")
    return [stage for stage in waiting if all(needed.key in done for needed in stage.inputs.values())]


def _hosted(needed: Demand, capacity: Capacity) -> bool:
    """Whether the cluster could meet a demand if it did nothing else."""
    return capacity.cpus_for_each(needed.workers) >= needed.cpus and needed.workers * needed.gpus <= capacity.gpus


def _fits(wanted: Demand, taken: list[Demand], capacity: Capacity) -> bool:
    everything = [*taken, wanted]
    cpus = sum(each.workers * each.cpus for each in everything)
    gpus = sum(each.workers * each.gpus for each in everything)
    return cpus <= capacity.cpus and gpus <= capacity.gpus


def _finish(reference, stage: Stage, seconds: float, done: set, outcome: Outcome, store: Store, notify) -> None:
    try:
        ray.get(reference)
    except Exception as error:
        cause = error.cause if isinstance(error, RayTaskError) else error
        if isinstance(cause, Interrupted):
            outcome.interrupted.append(stage)
            notify(Event("interrupted", stage, seconds))
            return
        text = str(cause) if isinstance(cause, DDBError) else "".join(traceback.format_exception(error)).strip()
        _fail(stage, text, seconds, outcome, store, notify)
    else:
        done.add(stage.key)
        outcome.computed.append(stage)
        notify(Event("finished", stage, seconds))


def _fail(stage: Stage, text: str, seconds: float, outcome: Outcome, store: Store, notify) -> None:
    store.fail(stage, text)
    outcome.failed[stage.key] = (stage, text)
    notify(Event("failed", stage, seconds, error=text))


def _task(needed: Demand, name: str):
    """The remote function for a stage: those with workers of their own hold nothing themselves."""
    holds = {"num_cpus": 0} if name in ("cdpm", "synthetic") else {"num_cpus": needed.cpus, "num_gpus": needed.gpus}
    # Inside a Tune trial, a task would otherwise have to fit into what the trial itself holds.
    return ray.remote(max_retries=RETRIES, scheduling_strategy="DEFAULT", **holds)(_produce)


def _produce(stage: Stage, root: str, resources: ResourceSettings, needed: Demand) -> None:
    """Runs on the cluster: compute one artifact and commit it, unless another process has done so meanwhile."""
    store = Store(root)
    with store.produce(stage) as work:
        if work is None:
            return
        began, numbers = time.time(), {}
        if stage.name == "cdpm":
            from ray_jobs.train_cdpm import train_cdpm

            every = resources.checkpoint_every
            numbers = train_cdpm(stage, store, work, every, needed.workers, needed.cpus, needed.gpus > 0)
        elif stage.name == "synthetic":
            from ray_jobs.sample_synthetic import sample

            numbers = sample(stage, store, work, resources, needed.workers, needed.gpus > 0)
            numbers["images_per_second"] = numbers["images"] / (time.time() - began)
        else:
            report = _stoppable(progress.reporter(store.work_path(stage)))
            torch.set_num_threads(needed.cpus)  # Ray reuses processes, whose last task may have had more
            machine = Machine("cuda" if needed.gpus else "cpu", needed.cpus)
            run_classifier_stage(stage, store, work, report, machine)
        write_record(stage, work.result, began, numbers)


def _stoppable(report: Callable) -> Callable:
    """The same progress callback, by which a stage without checkpoints of its own ends when the run is asked to."""

    def report_or_stop(step: int, total: int, numbers: dict[str, Any]) -> None:
        report(step, total, numbers)
        if interrupt.requested() and step < total:
            raise Interrupted(f"interrupted after {step} of {total}")

    return report_or_stop


if __name__ == "__main__":
    from ray_jobs.job import main

    main(None, __doc__)
