"""Claims: who computes a result, decided by `mkdir`, `rename` and file times alone, so on any shared file system.

    claim = Claim(root / ".work" / "cdpm" / key)
    if claim.take():                # at once; never waits
        claim.workspace             # a directory that survives a killed holder, with its checkpoints
        claim.release()

The workspace's name says who may use it: `<key>.first` and `<key>.<token>` have a holder, `<key>.free` has none. The
successor of a dead holder renames the workspace to a token of its own. Of two successors, one rename succeeds; one that
judged too slowly finds nothing to rename; and the paths of a former holder that was only stopped no longer exist.

A holder is dead if it was a process of this machine that is gone, if it belonged to an earlier attempt of the same run
or an earlier start of the same SLURM job, or if it has not touched its workspace for PATIENCE seconds. The reader's
monotonic clock counts them, so clocks of two machines are never compared.
"""

import errno
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ddb import machine

HEARTBEAT = 5.0  # seconds between two touches by a holder
PATIENCE = 600.0  # seconds; a stall of shared storage must not end a training of a day
HOLDER = "holder.json"  # in the workspace: who holds it
QUICKER = (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY)  # of a rename, if another process was quicker


class Claim:
    """The claim of one result, free or held. `run` names a run, of which one process at a time works on a result.

    `on_loss` is called from a thread if another process takes the claim over.
    """

    def __init__(self, path: Path, run: str = "", on_loss: Callable[[], None] | None = None):
        self.path, self._run, self._on_loss = path, run, on_loss
        self.workspace: Path | None = None  # while this object holds the claim
        self._end = threading.Event()
        self._seen: dict[str, tuple[int, float]] = {}  # name of a workspace -> time of its last touch, and since when

    def take(self) -> bool:
        """Take the claim if it is free or its holder is dead."""
        found, token = self.places(), secrets.token_hex(8)
        if any(self._is_alive(place) for place in found):
            return False
        try:
            self.workspace = self._succeed(found[0], token) if found else self._begin(token)
        except OSError as error:
            if error.errno in QUICKER:
                return False
            raise
        self._end = threading.Event()
        threading.Thread(target=self._beat, args=(self.workspace, self._end), daemon=True).start()
        return True

    def release(self) -> None:
        """Leave the workspace to the next holder; does nothing if it was taken over."""
        self._end.set()
        if self.workspace is not None:
            try:
                os.rename(self.workspace, self._place("free"))
            except OSError:  # it was taken over, or an older one is free
                shutil.rmtree(self.workspace, ignore_errors=True)
        self.workspace = None

    def remove(self) -> None:
        """Remove all workspaces of the result, which is complete."""
        self._end.set()
        for place in self.places():
            shutil.rmtree(place, ignore_errors=True)
        self.workspace = None

    def is_held(self) -> bool:
        """Whether a living process holds the claim. Ask the same object again: it watches the holder's touches."""
        return any(self._is_alive(place) for place in self.places())

    def is_of(self, run: str) -> bool:
        """Whether a process of that run holds it, or held it last."""
        return any(_read(place)[0].get("run") == run for place in self.places())

    def touched(self) -> list[int]:
        """When each workspace was last touched, by the file server's clock."""
        return [_read(place)[1] for place in self.places()]

    def is_lost(self) -> bool:
        """Whether another process has taken over what this object took."""
        return self.workspace is None or not self.workspace.exists()

    def owner(self) -> str:
        """The holder in words."""
        for place in self.places():
            holder = _read(place)[0]
            if "host" in holder:
                return f"{holder['host']}, process {holder['pid']}"
        return "another process"

    def places(self) -> list[Path]:
        """The workspaces of this result: none, or one; more only if a process was killed at the wrong moment."""
        try:
            names = os.listdir(self.path.parent)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(self.path.with_name(name) for name in names if name.startswith(f"{self.path.name}."))

    def _place(self, suffix: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{suffix}")

    def _begin(self, token: str) -> Path:
        """A new workspace. Raises OSError if another process was quicker: nothing replaces a folder with content."""
        made = self.path.with_name(f".{self.path.name}.{token}")
        made.mkdir(parents=True)
        self._sign(made, "first")
        try:
            os.rename(made, self._place("first"))
        except OSError:
            shutil.rmtree(made)
            raise
        return self._place("first")

    def _succeed(self, left: Path, token: str) -> Path:
        """A workspace that has no holder, or a dead one. Raises FileNotFoundError if another process was quicker."""
        os.rename(left, self._place(token))
        self._sign(self._place(token), token)
        return self._place(token)

    def _sign(self, place: Path, token: str) -> None:
        holder = {"token": token, "host": machine.node_name(), "pid": os.getpid(), "run": self._run, **_job()}
        holder |= {"machine": machine.identity(), "started": machine.started(os.getpid())}
        temporary = place / f".{HOLDER}"
        temporary.write_text(json.dumps(holder))
        os.replace(temporary, place / HOLDER)

    def _is_alive(self, place: Path) -> bool:
        token = place.name.rpartition(".")[2]
        if token == "free":
            return False
        holder, touched = _read(place)
        if holder.get("token") == token:  # else a successor has not signed yet
            here = holder["machine"] == machine.identity()
            if here and machine.started(holder["pid"]) != holder["started"]:
                return False
            if self._run and holder["run"] == self._run:
                return False
            job = _job()
            if job and holder.get("job") == job["job"] and holder["restart"] < job["restart"]:
                return False
        if place.name not in self._seen or self._seen[place.name][0] != touched:
            self._seen[place.name] = (touched, time.monotonic())
        return time.monotonic() - self._seen[place.name][1] <= PATIENCE

    def _beat(self, workspace: Path, end: threading.Event) -> None:
        while not end.wait(HEARTBEAT):
            try:
                os.utime(workspace / HOLDER)
            except FileNotFoundError:
                if self._on_loss and not end.is_set():
                    self._on_loss()
                return
            except OSError:  # the file server does not answer: try again, or lose the claim
                continue


def _read(place: Path) -> tuple[dict[str, Any], int]:
    """Holder of a workspace and time of its last touch; opened, so that NFS asks the server for the time."""
    try:
        with open(place / HOLDER, "rb") as file:
            return json.loads(file.read()), os.fstat(file.fileno()).st_mtime_ns
    except (FileNotFoundError, ValueError):
        return {}, 0


def _job() -> dict[str, Any]:
    """The SLURM job of this process and the number of its restarts: when it starts again, its earlier start is over."""
    if "SLURM_JOB_ID" not in os.environ:
        return {}
    name = f"{os.environ.get('SLURM_CLUSTER_NAME', '')}/{os.environ['SLURM_JOB_ID']}"
    return {"job": name, "restart": int(os.environ.get("SLURM_RESTART_COUNT", "0"))}
