"""What runs on the cluster for one stage: take its lock, compute, commit. A task waits for nobody.

It imports what its kind of stage needs and no more: a CDPM's task only watches over workers.
"""

import os
import time
from collections.abc import Callable
from typing import Any

from ddb import interrupt, progress
from ddb.artifacts import Elsewhere, Stage, Store
from ddb.errors import Interrupted
from ddb.record import write_record
from ray_jobs.demand import Demand


def produce(stage: Stage, root: str, needed: Demand, checkpoint_every: int, sampling_batch: int) -> bool:
    """Compute one artifact and commit it, unless it is there; False where another process is at work on it."""
    store = Store(root)
    try:
        # Who lost the lock has stood still for a minute; what it started must not go on beside the next one's.
        with store.produce(stage, timeout=0, on_loss=lambda: os._exit(1)) as work:
            if work is None:
                return True
            began, numbers = time.time(), {}
            if stage.name == "cdpm":
                from ray_jobs.train_cdpm import train_cdpm

                numbers = train_cdpm(stage, store, work, checkpoint_every, needed.workers, needed.cpus, needed.gpus > 0)
            elif stage.name == "synthetic":
                from ray_jobs.sample_synthetic import sample

                numbers = sample(stage, store, work, sampling_batch, needed.workers, needed.gpus > 0)
                numbers["images_per_second"] = numbers["images"] / (time.time() - began)
            else:
                _compute(stage, store, work, needed)
            write_record(stage, work.result, began, numbers)
    except Elsewhere:
        return False
    return True


def _compute(stage: Stage, store: Store, work: Any, needed: Demand) -> None:
    """One of the stages that need no workers of their own."""
    import torch

    from ddb.stages import Machine, run_classifier_stage

    torch.set_num_threads(needed.cpus)  # Ray reuses processes, whose last task may have had more
    machine = Machine("cuda" if needed.gpus else "cpu", needed.cpus)
    run_classifier_stage(stage, store, work, _stoppable(progress.reporter(store.work_path(stage))), machine)


def _stoppable(report: Callable) -> Callable:
    """The same progress callback, by which a stage without checkpoints of its own ends when the run is asked to."""

    def report_or_stop(step: int, total: int, numbers: dict[str, Any]) -> None:
        report(step, total, numbers)
        if interrupt.requested() and step < total:
            raise Interrupted(f"interrupted after {step} of {total}")

    return report_or_stop
