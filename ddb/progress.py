"""Progress of a stage as a small file in its workspace, so that any process, on any node, can tell how far it is."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

INTERVAL = 0.5  # seconds between two writes


def reporter(directory: Path) -> Callable[[int, int, dict[str, Any]], None]:
    """A progress callback (step, total, numbers) that keeps `<directory>/progress.json` up to date."""
    last = 0.0

    def report(step: int, total: int, numbers: dict[str, Any]) -> None:
        nonlocal last
        if time.monotonic() - last < INTERVAL and step != total:
            return
        last = time.monotonic()
        temporary = directory / f".progress-{os.getpid()}"
        temporary.write_text(json.dumps({"step": step, "total": total, "numbers": numbers, "time": time.time()}))
        os.replace(temporary, directory / "progress.json")

    return report


def read(directory: Path) -> dict[str, Any] | None:
    """The last report, or None where there is none yet."""
    try:
        return json.loads((directory / "progress.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
