"""Progress of a stage as a small file in its workspace, so that any process, on any node, can tell how far it is."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

INTERVAL = 0.5  # seconds between two writes


def reporter(directory: Path) -> Callable[[int, int, dict[str, Any]], dict[str, Any] | None]:
    """A progress callback (step, total, numbers) that keeps `<directory>/progress.json` up to date.

    It returns what it has written, or None where it was too early for that.

    The file also holds `rate`, steps per second since the first report of this process, or None before the second: a
    resumed stage is measured by what it does now, not by where it began. `half` is the time at which half was done.
    """
    first: tuple[int, float] | None = None
    last, half = 0.0, None

    def report(step: int, total: int, numbers: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal first, last, half
        now = time.monotonic()
        first = first or (step, now)
        half = half or (time.time() if 2 * step >= total else None)
        if now - last < INTERVAL and step != total:
            return None
        last = now
        rate = (step - first[0]) / (now - first[1]) if step > first[0] else None
        content = {"step": step, "total": total, "rate": rate, "numbers": numbers, "time": time.time(), "half": half}
        temporary = directory / f".progress-{os.getpid()}"
        temporary.write_text(json.dumps(content))
        os.replace(temporary, directory / "progress.json")
        return content

    return report


def read(directory: Path) -> dict[str, Any] | None:
    """The last report, or None where there is none yet."""
    try:
        return json.loads((directory / "progress.json").read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last: a machine that lost its power
        return None


def describe(report: dict[str, Any]) -> str:
    """Step of total, images per second, loss and time left, as far as they are known.

    A stage that counts in steps says `images_per_step` among its numbers.
    """
    parts, numbers, rate = [f"{report['step']}/{report['total']}"], report["numbers"], report["rate"]
    if rate and "images_per_step" in numbers:
        parts.append(f"{rate * numbers['images_per_step']:.0f} images/s")
    if "loss" in numbers:
        parts.append(f"loss {numbers['loss']:.3f}")
    if rate:
        parts.append(f"{duration((report['total'] - report['step']) / rate)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds, minutes, hours or days in words, to a whole second, minute, hour or, from ten on, day."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, left = divmod(hours, 24)
    if days > 1:
        return f"{days} days" if days >= 10 else f"{days} days {left:02d} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
