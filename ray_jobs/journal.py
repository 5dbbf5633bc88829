"""What a run leaves about itself in the store: what it said, and how far it is, for whoever looks later or from afar.

logs/colored_digits-20261201-093012-n1-4711.log      every line, with the time of day; whole errors
logs/colored_digits-20261201-093012-n1-4711.json     command, machine, state, stages, time left; renewed while it runs

with Journal(store, "colored_digits", identity(graph)) as journal:
    journal.tell("19 stages")
    journal.note(done=3)

for run in runs(store): ...                       # the newest first
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ddb import machine
from ddb.errors import Interrupted
from ddb.store import KEY_LENGTH, Stage, Store
from ray_jobs.output import news

LOGS = "logs"  # folder of the store
NOTED = {"name", "identity", "command", "state", "began", "time", "host", "machine", "pid", "started"}
HEARTBEAT, SILENCE = 5.0, 120.0  # seconds between two signs of life, and after which a run on another machine is over


@dataclass(frozen=True)
class Run:
    """One run, as it noted itself."""

    file: Path
    noted: dict[str, Any]
    heard: float  # time of the last sign of life

    @property
    def state(self) -> str:
        """running, finished, failed, interrupted; killed: it ended without a word."""
        state = self.noted["state"]
        if state != "running":
            return state
        here = self.noted["machine"] == machine.identity()
        dead = (
            machine.started(self.noted["pid"]) != self.noted["started"] if here else time.time() - self.heard > SILENCE
        )
        return "killed" if dead else "running"

    @property
    def log(self) -> Path:
        return self.file.with_suffix(".log")

    @property
    def owner(self) -> str:
        """Where it runs, in words."""
        return f"{self.noted['host']}, process {self.noted['pid']}"


def identity(stages: Iterable[Stage]) -> str:
    """The same for two runs if they compute the same experiment, whatever its file is called."""
    text = " ".join(sorted(stage.key for stage in stages))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def runs(store: Store) -> list[Run]:
    """All runs that have noted themselves: those under way, then the others, the newest first."""
    found = []
    for file in (store.root / LOGS).glob("*.json"):
        with contextlib.suppress(OSError, ValueError):  # removed meanwhile, or damaged
            noted = json.loads(file.read_text(encoding="utf-8"))
            if isinstance(noted, dict) and noted.keys() >= NOTED:  # else of another version
                found.append(Run(file, noted, file.stat().st_mtime))
    return sorted(found, key=lambda run: (run.state == "running", run.noted["time"]), reverse=True)


def again(run: Run) -> Run:
    """The same run as it is now."""
    with contextlib.suppress(OSError, ValueError):
        return Run(run.file, json.loads(run.file.read_text(encoding="utf-8")), run.file.stat().st_mtime)
    return run


def _command(store: Store) -> list[str]:
    """What was entered, with the store if it was named by the environment alone."""
    program, *words = sys.argv
    module = Path(program).stem
    as_module = program.endswith(".py") and module != "__main__"
    entered = ["python", "-m", f"ray_jobs.{module}"] if as_module else ["ddb"]
    return [*entered, *words, *([] if "--store" in words else ["--store", str(store.root)])]


class Journal:
    """The log and the note of this run; use it as a context, whose exception says how the run ended."""

    def __init__(self, store: Store, name: str, identity: str):
        began = datetime.now().astimezone()
        self._file = store.root / LOGS / f"{name}-{began:%Y%m%d-%H%M%S}-{machine.node_name()}-{os.getpid()}.json"
        self._noted: dict[str, Any] = {
            "name": name,
            "identity": identity,
            "command": shlex.join(_command(store)),
            "state": "running",
            "began": began.isoformat(timespec="seconds"),
            "time": began.timestamp(),
            "host": machine.node_name(),
            "machine": machine.identity(),
            "pid": os.getpid(),
            "started": machine.started(os.getpid()),
            "slurm_job": os.environ.get("SLURM_JOB_ID"),
        }
        self._end = threading.Event()

    @property
    def log(self) -> Path:
        return self._file.with_suffix(".log")

    def __enter__(self) -> Journal:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self.note()
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._end.set()
        if kind is None:
            self.note(state="failed" if self._noted.get("failed") else "finished", seconds_left=0)
        else:
            self.write(str(error))
            self.note(state="interrupted" if issubclass(kind, (Interrupted, KeyboardInterrupt)) else "failed")

    def tell(self, text: str, style: str | None = None) -> None:
        """Print a line, and write it into the log."""
        news.print(text, style=style)
        self.write(text)

    def write(self, text: str) -> None:
        """Only into the log. That a full disk refuses it is no reason to end a run."""
        with contextlib.suppress(OSError), self.log.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")

    def note(self, **known: Any) -> None:
        """What is known of the run from now on: total, done, failed, seconds_left, or anything else."""
        self._noted |= known | {"updated": datetime.now().astimezone().isoformat(timespec="seconds")}
        temporary = self._file.with_suffix(".new")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(self._noted, indent=1) + "\n", encoding="utf-8")
            os.replace(temporary, self._file)

    def _beat(self) -> None:
        while not self._end.wait(HEARTBEAT):
            with contextlib.suppress(OSError):
                os.utime(self._file)
