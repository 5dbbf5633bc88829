"""Stages and their results: a stage has a key, and its result is the directory `<root>/<stage>/<key>/`."""

from ddb.store.stage import KEY_LENGTH, Stage, canonical_json, in_order
from ddb.store.store import Elsewhere, Store, Workspace

__all__ = ["KEY_LENGTH", "Elsewhere", "Stage", "Store", "Workspace", "canonical_json", "in_order"]
