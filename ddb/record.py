"""`record.json` beside every result: from what, by what code, on which machine. Imports no torch by itself."""

import json
import os
import platform
import subprocess
import time
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ddb.artifacts import Stage
from ddb.machine import node_name

PACKAGES = ("torch", "diffusers", "deepspeed", "ray", "numpy", "pyarrow")


def write_record(stage: Stage, result: Path, began: float, numbers: dict[str, Any] | None = None) -> None:
    """`record.json`: where this result comes from (DESIGN: artifacts). `began` is time.time() at the stage's start.

    `numbers` are added; a `device` among them is that of the workers that computed, where it was not this process.
    """
    numbers = numbers or {}
    record = {
        "stage": stage.name,
        "key": stage.key,
        "config": stage.config,
        "code_version": stage.code_version,
        "inputs": {role: f"{needed.name}/{needed.key}" for role, needed in stage.inputs.items()},
        "git": git_state(),
        "packages": {name: installed for name in PACKAGES if (installed := _version(name))},
        "python": platform.python_version(),
        "host": node_name(),
        "device": device_name() if "device" not in numbers else numbers["device"],
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(time.time() - began, 3),
        **numbers,
    }
    (result / "record.json").write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")


def device_name() -> str:
    """What this process computes on."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu ({os.cpu_count()} cores)"


def git_state() -> dict[str, Any] | None:
    """Commit and whether tracked files differ from it; None outside a checkout.

    Of the copy that `ddb submit` made for a job: those of the checkout at that time, and the path of the copy.
    """
    here = Path(__file__).parent
    snapshot = here.parent / "snapshot.json"
    if snapshot.exists():
        return json.loads(snapshot.read_text())
    commands = (["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"])
    try:
        commit, changes = (
            subprocess.run(c, cwd=here, capture_output=True, text=True, check=True).stdout for c in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit.strip(), "dirty": bool(changes.strip())}


def _version(package: str) -> str | None:
    """The installed version; None where it is not there, as Ray need not be (`ddb.local`)."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
