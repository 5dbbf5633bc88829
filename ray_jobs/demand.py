"""What a stage needs of the cluster at once: workers, and CPUs, GPUs and memory for each.

A stage that can never be met is refused before any work; one that no longer fits, since nodes were lost, goes on with
fewer workers or waits, as `resources.lost_node` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddb.errors import DDBError
from ddb.store import Stage

if TYPE_CHECKING:  # a task that unpickles a Demand needs neither
    from ddb.config import ResourceSettings
    from ray_jobs.cluster import Capacity


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


def hosted(needed: Demand, capacity: Capacity) -> bool:
    """Whether the cluster could meet a demand if it did nothing else."""
    return capacity.cpus_for_each(needed.workers) >= needed.cpus and needed.workers * needed.gpus <= capacity.gpus
