"""Placement groups that Ray Train leaves behind.

It removes the group of its workers when training ends, but not if they cannot join one process group, nor if its
controller dies. The group then keeps its CPUs and GPUs until the whole run ends, and the next attempt waits for them.
Groups have no names, so the memory that a stage asks for carries a mark of the stage.
"""

import hashlib

import ray
from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group

from ddb.store import Stage, Store

MARKS = 2**24  # how many there are; the same number of bytes is too little to matter


def marked(memory: int, stage: Stage, store: Store) -> int:
    """The largest number of bytes up to `memory` that carries the mark of `stage`."""
    return max((memory - _mark(stage, store)) // MARKS, 0) * MARKS + _mark(stage, store)


def release(stage: Stage, store: Store) -> None:
    """Remove the groups of earlier attempts at `stage`, of which only one at a time is at work."""
    for group, facts in placement_group_table().items():
        memory = next(iter(facts["bundles"].values())).get("memory", 0)
        if facts["state"] != "REMOVED" and memory % MARKS == _mark(stage, store):
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(group))))


def _mark(stage: Stage, store: Store) -> int:
    return int.from_bytes(hashlib.sha256(str(store.path(stage).resolve()).encode()).digest()[:3], "big")
