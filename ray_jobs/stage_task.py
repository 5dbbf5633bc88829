"""What runs on the cluster for one stage: claim the result, compute, commit. A task waits for no other process.

It imports what its kind of stage needs and no more.
"""

import os
import time
from collections.abc import Callable
from typing import Any

from ddb import interrupt, process_memory, progress
from ddb.errors import Interrupted
from ddb.experiment.config import ResourceSettings
from ddb.stages.kind import Job, Kind, Machine
from ddb.stages.needs import Demand
from ddb.store import Elsewhere, Stage, Store
from ddb.store.record import device_name
from ddb.training.precision import deterministic


def produce(
    stage: Stage, kind: Kind, root: str, run: str, attempt: str, demand: Demand, resources: ResourceSettings
) -> bool:
    """Compute one result and commit it, unless it is there; False if another process computes it.

    `run` names the run for the claim, `attempt` this submission for the files of the workers that have begun.
    """
    if interrupt.requested():  # while the task waited for its turn
        raise Interrupted("interrupted before it began")
    store = Store(root, run)
    try:
        # A process that lost its claim had stopped for minutes; what it started must not continue beside the successor.
        with store.produce(stage, timeout=0, on_loss=lambda: os._exit(1)) as work:
            if work is None:
                return True
            began = time.time()
            process_memory.reset_peak()
            if stage.name == "cdpm":
                from ray_jobs.train_cdpm import train_cdpm

                numbers = train_cdpm(stage, store, work, attempt, demand, resources)
            elif stage.name == "synthetic":
                from ray_jobs.sample_synthetic import sample

                numbers = sample(stage, store, work, demand, resources.sampling_batch)
                rate = numbers["images"] / (time.time() - began)
                numbers |= {"images_per_second": rate, "device": device_name()}
            elif stage.name == "features":
                from ray_jobs.encode_features import encode

                numbers = encode(stage, store, work, demand, resources.sampling_batch) | {"device": device_name()}
            else:
                import torch

                deterministic(resources.deterministic)
                torch.set_num_threads(demand.cpus)  # Ray reuses processes, whose last task may have had more
                machine = Machine("cuda" if demand.gpus else "cpu", demand.cpus)
                job = Job(stage, store, work, _stoppable(progress.reporter(work.root)), machine)
                numbers = {"device": device_name()} | kind.compute(job)
            if half := (progress.read(work.root) or {}).get("half"):
                numbers["seconds_of_second_half"] = time.time() - half
            work.numbers.update(process_memory.peak() | numbers)
    except Elsewhere:
        return False
    return True


def _stoppable(report: Callable) -> Callable:
    """The same progress callback, by which a stage without checkpoints of its own ends when the run is asked to."""

    def report_or_stop(step: int, total: int, numbers: dict[str, Any]) -> None:
        report(step, total, numbers)
        if interrupt.requested() and step < total:
            raise Interrupted(f"interrupted after {step} of {total}")

    return report_or_stop
