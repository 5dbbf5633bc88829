"""The content-addressed store: every stage's result is a directory `<root>/<stage>/<key>/` that is complete or absent.

    store = Store("runs")
    with store.produce(stage) as work:          # one process at a time per key; None when it is there already
        if work:
            write_files_into(work.result)       # work.resume survives a kill, work.result starts empty
    store.path(stage)                           # the finished directory, with its record.json

`key` hashes the stage's own configuration, its code version and the keys of its inputs, so the same command finds
its results again, and a result can only belong to what is written in its record (DESIGN: artifacts).
"""

import contextlib
import hashlib
import json
import math
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ddb import interrupt
from ddb.errors import DDBError, Interrupted
from ddb.lock_kind import lock_kind
from ddb.locks import Flock, Lease

INTERRUPTED = "interrupted"  # in the workspace of a stage that was asked to end early
KEY_LENGTH = 16  # hex digits, 64 bits: a collision needs billions of artifacts
ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no spaces, NaN refused. What is hashed, everywhere."""
    return ENCODER.encode(value)


@dataclass(frozen=True)
class Stage:
    """One node of the stage graph: what to compute, from which other stages."""

    name: str  # directory in the store: data, cdpm, synthetic, ...
    config: dict[str, Any]  # all and only the settings that this stage reads
    code_version: int
    inputs: dict[str, "Stage"] = field(default_factory=dict)  # role -> stage
    location: str | None = None  # where files from outside the store lie; what they hold is in `config`

    @cached_property
    def key(self) -> str:
        """What the store knows the result by, KEY_LENGTH hex digits."""
        inputs = {role: stage.key for role, stage in self.inputs.items()}
        content = {"stage": self.name, "config": self.config, "code": self.code_version, "inputs": inputs}
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:KEY_LENGTH]

    def ancestors(self) -> list["Stage"]:
        """Every stage that this one needs, once, inputs before what needs them; self last."""
        return list(in_order([self]).values())


def in_order(roots: Iterable[Stage]) -> dict[str, Stage]:
    """`roots` and every stage that they need, by key, inputs before what needs them."""
    found: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        if stage.key not in found:
            for needed in stage.inputs.values():
                visit(needed)
            found[stage.key] = stage

    for root in roots:
        visit(root)
    return found


class Elsewhere(DDBError):
    """Another process computes the stage."""


@dataclass(frozen=True)
class Workspace:
    """Where a stage writes: `result` becomes the artifact, `resume` outlives a kill and goes when it is complete."""

    result: Path
    resume: Path


class Store:
    """A directory of artifacts that any number of processes may use at once.

    Who only reads it needs no right to write; an empty folder is made where there is none and one can be made. Where
    the root may be written by its group (`chmod g+ws`), so may all that is made in it: two users share a store. Raises
    DDBError where the root is no folder.
    """

    def __init__(self, root: str | os.PathLike):
        self.root = Path(root).absolute()
        with contextlib.suppress(OSError):  # said by who has to write
            self.root.mkdir(parents=True, exist_ok=True)
        if self.root.exists() and not self.root.is_dir():
            raise DDBError(f"store {self.root} cannot be used: it is not a folder (--store or DDB_STORE)")

    @cached_property
    def lock_kind(self) -> str:
        """Of all locks in this store. Makes what is needed to write. Raises DDBError where that cannot be."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            share_with_group(self.root)
            for hidden in (".work", ".locks", ".failures"):
                (self.root / hidden).mkdir(exist_ok=True)
            probe = self.root / ".work" / f".probe-{secrets.token_hex(4)}"
            probe.touch()
            probe.unlink()
            return lock_kind(self.root / ".locks")
        except OSError as error:
            raise DDBError(f"store {self.root} cannot be written: {error.strerror} (--store or DDB_STORE)") from error

    def open_to_write(self) -> None:
        """Make the store if it is not there. Raises DDBError where it cannot be written."""
        _ = self.lock_kind

    def path(self, stage: Stage) -> Path:
        """Where the finished artifact is or will be."""
        return self.root / stage.name / stage.key

    def has(self, stage: Stage) -> bool:
        return self.path(stage).is_dir()

    def finished(self, stages: Iterable[Stage]) -> set[str]:
        """Keys of those of `stages` that are complete, by one listing for each kind of stage."""
        listed: dict[str, set[str]] = {}
        for name in {stage.name for stage in stages}:
            with contextlib.suppress(FileNotFoundError), os.scandir(self.root / name) as entries:
                listed[name] = {entry.name for entry in entries if entry.is_dir()}
        return {stage.key for stage in stages if stage.key in listed.get(stage.name, ())}

    def record(self, stage: Stage) -> dict[str, Any]:
        return json.loads((self.path(stage) / "record.json").read_text())

    def work_path(self, stage: Stage) -> Path:
        """The stage's workspace, whether or not anyone is at work in it."""
        return self.root / ".work" / stage.name / stage.key

    def lock(self, stage: Stage, on_loss: Callable[[], None] | None = None) -> Flock | Lease:
        """The lock of a stage's artifact, free or not; `on_loss` is called where it is lost while it is held."""
        return self.lock_at(self.root / ".locks" / f"{stage.name}-{stage.key}", on_loss)

    def lock_at(self, path: Path, on_loss: Callable[[], None] | None = None) -> Flock | Lease:
        """A lock of this store's kind in the file `path`.lock or `path`.lease."""
        if self.lock_kind == "lease":
            return Lease(path.with_suffix(".lease"), on_loss)
        return Flock(path.with_suffix(".lock"))

    @contextlib.contextmanager
    def produce(
        self, stage: Stage, timeout: float = -1, on_loss: Callable[[], None] | None = None
    ) -> Iterator[Workspace | None]:
        """Compute one artifact, alone: yields a workspace, or None when the artifact is (or has become) complete.

        On leaving the block without an exception, `result` is renamed to its place in one step. The caller writes
        `record.json` into it first. Where another process computes the same key, raises Elsewhere after `timeout`
        seconds (-1: never; 0: at once), and Interrupted when the run is asked to end meanwhile. `on_loss` is called
        from a thread where the lock was taken over, since this process had stood still for too long; what it computes
        is then not committed.
        """
        lock = self.lock(stage, on_loss)
        self._acquire(lock, stage, timeout)
        try:
            if self.has(stage):
                yield None
                return
            work = self.work_path(stage)
            for left in work.glob("result*"):  # what a killed writer left is not to be trusted
                shutil.rmtree(left, ignore_errors=True)
            # A name of its own: who lost the lock and does not know it yet writes into nobody else's.
            workspace = Workspace(work / f"result-{secrets.token_hex(4)}", work / "resume")
            workspace.result.mkdir(parents=True)
            workspace.resume.mkdir(exist_ok=True)
            (work / INTERRUPTED).unlink(missing_ok=True)
            try:
                yield workspace
            except Interrupted:
                (work / INTERRUPTED).touch()
                raise
            self.path(stage).parent.mkdir(exist_ok=True)
            flush(workspace.result)
            if lock.lost():
                raise Elsewhere(f"{stage.name} {stage.key} was taken over by {lock.owner()}")
            os.rename(workspace.result, self.path(stage))
            self.clear_failure(stage)
            shutil.rmtree(work, ignore_errors=True)
        finally:
            lock.release()

    def _acquire(self, lock: Flock | Lease, stage: Stage, timeout: float) -> None:
        until = math.inf if timeout < 0 else time.monotonic() + timeout
        while not lock.acquire():
            if time.monotonic() >= until:
                raise Elsewhere(f"{stage.name} {stage.key} is being computed by another process ({lock.owner()})")
            if interrupt.requested():
                raise Interrupted(f"interrupted while {lock.owner()} computes {stage.name} {stage.key}")
            time.sleep(0.1)

    def interrupted(self, stage: Stage) -> bool:
        """Whether the last attempt was asked to end early and none has begun since."""
        return (self.work_path(stage) / INTERRUPTED).exists()

    def fail(self, stage: Stage, error: str) -> None:
        """Record why `stage` failed; shown by `ddb status` and counted by `ddb table` until it succeeds."""
        self.open_to_write()
        path = self.failure_path(stage)
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps({"stage": stage.name, "key": stage.key, "error": error}))
        os.replace(temporary, path)

    def failure(self, stage: Stage) -> str | None:
        """The error of the last attempt, if it failed and no later one succeeded."""
        try:
            return json.loads(self.failure_path(stage).read_text())["error"]
        except FileNotFoundError:
            return None
        except ValueError:  # a machine that lost its power
            return f"failed; the record of it is damaged: {self.failure_path(stage)}"

    def failure_time(self, stage: Stage) -> int | None:
        """When the failure that stands was recorded, by the file server's clock; None where there is none."""
        try:
            return self.failure_path(stage).stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def clear_failure(self, stage: Stage) -> None:
        self.failure_path(stage).unlink(missing_ok=True)

    def failure_path(self, stage: Stage) -> Path:
        """Where the error of a failed stage is kept whole."""
        return self.root / ".failures" / stage.name / f"{stage.key}.json"


def share_with_group(folder: Path) -> None:
    """Where its group may write `folder`, let it write what this process makes from now on, whatever the umask says."""
    if folder.stat().st_mode & stat.S_IWGRP:
        os.umask(os.umask(0o077) & ~0o070)


def flush(directory: Path) -> None:
    """Push file contents to disk before the rename that declares them complete."""
    for path in directory.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
