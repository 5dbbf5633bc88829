"""Placement groups of CDPM training that nobody needs any more.

Ray Train removes its group when training ends, and a cleaner of its own does when the process that called it dies; but
that cleaner asks Ray's dashboard who is alive, which need not be installed or running. A group that is left over holds
its CPUs or GPUs until the whole run ends, and the next attempt waits for them.
"""

from pathlib import Path

import ray
from ray.util.placement_group import (
    PlacementGroup,
    get_current_placement_group,
    placement_group_table,
    remove_placement_group,
)

from ddb.stages.needs import Capacity

FILE = "placement_group"
UNMET = ("PENDING", "RESCHEDULING")


def remember(folder: Path) -> None:
    """Called by a worker: write down the group that it runs in."""
    (folder / FILE).write_text(get_current_placement_group().id.hex())


def release(folder: Path) -> None:
    """Remove the group that an earlier attempt at the stage wrote down; only one at a time is at work on a stage."""
    path = folder / FILE
    if path.exists():
        _remove(path.read_text())
        path.unlink()


def release_unmet(capacity: Capacity) -> None:
    """Remove the groups of this run that wait for more than the cluster has, now that nodes are lost."""
    ours = ray.get_runtime_context().get_job_id()
    for group, facts in placement_group_table().items():
        bundles = list(facts["bundles"].values())
        cpus = max((bundle.get("CPU", 0) for bundle in bundles), default=0)
        gpus = sum(bundle.get("GPU", 0) for bundle in bundles)
        hosted = capacity.cpus_for_each(len(bundles)) >= cpus and gpus <= capacity.gpus
        if group.endswith(ours) and facts["state"] in UNMET and not hosted:
            _remove(group)


def _remove(group: str) -> None:
    remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(group))))
