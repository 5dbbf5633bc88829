"""`ddb explain RESULT`: how a result was made, and what would cause it to be computed again.

    for line in explain(store, find(store, "cdpm/537a507a0e1d5dc6")): print(line)

Everything comes from the result's record, which is compared with the present versions of the code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ddb import yaml_text
from ddb.data import BENCHMARKS
from ddb.diffusion.denoisers import DENOISERS
from ddb.diffusion.samplers import SAMPLERS
from ddb.errors import DDBError
from ddb.progress import duration
from ddb.recipes import METHODS
from ddb.signals import SOURCES
from ddb.stages import KINDS
from ddb.store import KEY_LENGTH, Store
from ddb.training.networks import NETWORKS

LEAST = 4  # fewest hexadecimal digits of an abbreviated key


def find(store: Store, name: str) -> Path:
    """The folder of a finished result. `name` is a key or its first digits, KIND/KEY, or a path.

    Raises DDBError if there is no such result, or more than one.
    """
    parts = Path(name.rstrip("/")).parts
    key, kind = parts[-1] if parts else "", parts[-2] if len(parts) > 1 and parts[-2] != "/" else "[a-z]*"
    if len(key) < LEAST or not set(key) <= set("0123456789abcdef"):
        raise DDBError(f"{name}: name a result by its key ({KEY_LENGTH} hexadecimal digits, or at least the first "
                       f"{LEAST}), by KIND/KEY, or by its path")  # fmt: skip
    found = sorted(path.parent for path in store.root.glob(f"{kind}/{key}*/record.json"))
    if not found:
        raise DDBError(f"{name}: no such finished result in the store {store.root}")
    if len(found) > 1:
        names = ", ".join(f"{path.parent.name}/{path.name}" for path in found[:5])
        raise DDBError(f"{name}: could mean {len(found)} results: {names}{', ...' if len(found) > 5 else ''}")
    return found[0]


def explain(store: Store, result: Path) -> list[str]:
    """What the result was made from, by which code, what uses it, and what would cause it to be computed again.

    Raises DDBError if its record is damaged, or of an earlier version of this project.
    """
    record = _read(result / "record.json")
    if record is None:
        raise DDBError(f"{result}: its record is damaged or of an earlier version; experiments no longer use it")
    git = record["git"] or {}
    commit = git.get("commit", "outside a checkout") + ", with uncommitted changes" * git.get("dirty", False)
    machine = ", ".join(filter(None, (record["host"], record.get("device"))))
    lines = [
        f"{record['stage']}/{record['key']} in {store.root}",
        f"computed: {record['finished']}, in {duration(record['seconds'])}, on {machine}",
        f"commit: {commit}",
        f"code: {', '.join(f'{name} {version}' for name, version in record['code'].items())}",
        *(f"from: {made}" + f" as {role}" * (role != made.split("/")[0]) for role, made in record["inputs"].items()),
        *(f"used by: {name}" for name in _users(store, f"{record['stage']}/{record['key']}")),
        "settings:" if record["config"] else "settings: none of its own",
        *(f"  {line}" for line in yaml_text.write(record["config"]).splitlines() if record["config"]),
    ]
    if changed := _changed(store, record, versions_now()):
        return [*lines, f"In the present code, {', '.join(changed)}: experiments no longer use this result."]
    names = " or ".join(record["code"])
    return [*lines, f"It is computed again if a setting, an input, or the version of {names} changes."]


def versions_now() -> dict[str, int]:
    """The present versions of all stage kinds, methods, data sets, sources of signals, networks and samplers."""
    found = {
        name: each.version
        for registry in (KINDS, METHODS, BENCHMARKS, SAMPLERS, DENOISERS)
        for name, each in registry.items()
    }
    found |= {f"source {name}": each.version for name, each in SOURCES.items()}
    return found | NETWORKS


def _changed(store: Store, record: dict[str, Any], now: dict[str, int]) -> dict[str, None]:
    """What code of the result, and of all that it was made from, has another version now."""
    found = {f"{name} is version {now[name]}": None for name, v in record["code"].items() if now.get(name, v) != v}
    for made in record["inputs"].values():
        if before := _read(store.root / made / "record.json"):
            found |= _changed(store, before, now)
    return found


def _users(store: Store, name: str) -> list[str]:
    """Finished results that have `name` among their inputs."""
    records = filter(None, map(_read, sorted(store.root.glob("[a-z]*/*/record.json"))))
    return [f"{each['stage']}/{each['key']}" for each in records if name in each["inputs"].values()]


def _read(path: Path) -> dict[str, Any] | None:
    """A record of the present format; None if it is damaged, removed meanwhile, or older."""
    try:
        record = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return record if "code" in record else None
