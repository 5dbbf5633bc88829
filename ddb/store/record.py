"""`record.json` of every result: from what, by which code, on which machine, and which files belong to it."""

import json
import os
import platform
import subprocess
import time
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ddb.machine import node_name
from ddb.store.stage import Stage

RECORD = "record.json"
PACKAGES = ("torch", "diffusers", "deepspeed", "ray", "numpy", "pyarrow")


def write_record(stage: Stage, result: Path, began: float, numbers: dict[str, Any]) -> None:
    """Write the record of all that is in `result`; `began` is time.time() at the start. `numbers` are added to it."""
    record = {
        "stage": stage.name,
        "key": stage.key,
        "config": stage.config,
        "code": stage.code,
        "inputs": {role: f"{needed.name}/{needed.key}" for role, needed in stage.inputs.items()},
        "git": git_state(),
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
        "python": platform.python_version(),
        "host": node_name(),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(time.time() - began, 3),
        **numbers,
        "files": sorted(str(path.relative_to(result)) for path in result.rglob("*") if path.is_file()),
    }
    (result / RECORD).write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def is_complete(result: Path) -> bool:
    """Whether the record and every file that it names are there; a cleaned scratch disk may have removed some."""
    try:
        files = json.loads((result / RECORD).read_bytes())["files"]
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError):
        return False
    return all(os.path.exists(result / name) for name in files)


def device_name() -> str:
    """What this process computes on."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu ({os.cpu_count()} cores)"


@cache
def git_state() -> dict[str, Any] | None:
    """Commit and whether tracked files differ from it; None outside a checkout.

    In the copy that `ddb submit` made for a job: those of the checkout at that time, and the path of the copy.
    """
    here = Path(__file__).parent
    snapshot = here.parents[1] / "snapshot.json"
    if snapshot.exists():
        return json.loads(snapshot.read_text())
    commands = (["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"])
    options: dict[str, Any] = {"cwd": here, "capture_output": True, "text": True, "check": True}
    try:
        commit, changes = (subprocess.run(command, **options).stdout for command in commands)
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit.strip(), "dirty": bool(changes.strip())}


@cache
def installed(package: str) -> str | None:
    """The installed version; None if it is not installed, as Ray may be."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
