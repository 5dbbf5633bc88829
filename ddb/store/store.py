"""The store: every stage's result is a directory `<root>/<stage>/<key>/`, which is complete or absent.

store = Store("runs")
with store.produce(stage) as work:          # one process at a time for each key; None if the result is there
    if work:
        write_files_into(work.result)       # work.resume survives a kill, work.result starts empty
        work.numbers["loss"] = 0.1          # for the record
store.path(stage)                           # the finished directory, with its record.json
"""

import contextlib
import json
import math
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddb import interrupt
from ddb.errors import DDBError, Interrupted
from ddb.store.claim import Claim
from ddb.store.record import RECORD, is_complete, write_record
from ddb.store.stage import Stage

INTERRUPTED = "interrupted"  # in the workspace of a stage that was asked to end early


class Elsewhere(DDBError):
    """Another process computes the stage."""


@dataclass(frozen=True)
class Workspace:
    """Where a stage writes: `result` becomes the result, `resume` survives a kill and is removed at the end."""

    root: Path
    result: Path
    resume: Path
    numbers: dict[str, Any] = field(default_factory=dict)  # go into the record


class Store:
    """A directory of results that any number of processes may use at once.

    Reading needs no right to write; a missing folder is made if possible. If the root's group may write (`chmod g+ws`),
    it may write everything in it, so that two users can share a store. `run` names a run whose earlier attempts at a
    stage are over when a new one begins. Raises DDBError if the root is not a folder.
    """

    def __init__(self, root: str | os.PathLike, run: str = ""):
        self.root, self.run = Path(root).absolute(), run
        with contextlib.suppress(OSError):  # reported when something has to be written
            self.root.mkdir(parents=True, exist_ok=True)
        if self.root.exists() and not self.root.is_dir():
            raise DDBError(f"store {self.root} cannot be used: it is not a folder (--store or DDB_STORE)")

    def open_to_write(self) -> None:
        """Make the store if it is not there. Raises DDBError if it cannot be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            share_with_group(self.root)
            for hidden in (".work", ".failures"):
                (self.root / hidden).mkdir(exist_ok=True)
            probe = self.root / ".work" / f".probe-{secrets.token_hex(4)}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise DDBError(f"store {self.root} cannot be written: {error.strerror} (--store or DDB_STORE)") from error

    def path(self, stage: Stage) -> Path:
        """Where the finished result is or will be."""
        return self.root / stage.name / stage.key

    def has(self, stage: Stage) -> bool:
        """Whether the result is there with its record and the files that the record names."""
        return is_complete(self.path(stage))

    def finished(self, stages: Iterable[Stage]) -> set[str]:
        """Keys of those of `stages` whose result is there; only folders that a listing shows are opened."""
        listed: dict[str, set[str]] = {}
        for name in {stage.name for stage in stages}:
            with contextlib.suppress(FileNotFoundError):
                listed[name] = set(os.listdir(self.root / name))
        return {stage.key for stage in stages if stage.key in listed.get(stage.name, ()) and self.has(stage)}

    def record(self, stage: Stage) -> dict[str, Any]:
        """The record of a finished result."""
        return json.loads((self.path(stage) / RECORD).read_text(encoding="utf-8"))

    def read_json(self, stage: Stage, name: str) -> Any:
        """What `<name>.json` of a result says; None if the result or the file does not exist."""
        try:
            return json.loads((self.path(stage) / f"{name}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def claim(self, stage: Stage, on_loss: Callable[[], None] | None = None) -> Claim:
        """The claim of a stage's result, free or held."""
        return Claim(self.root / ".work" / stage.name / stage.key, self.run, on_loss)

    def work_path(self, stage: Stage) -> Path:
        """The stage's workspace, whether or not anyone uses it; a path that does not exist if there is none."""
        claim = self.claim(stage)
        return next(iter(claim.places()), claim.path)

    @contextlib.contextmanager
    def produce(
        self, stage: Stage, timeout: float = -1, on_loss: Callable[[], None] | None = None
    ) -> Iterator[Workspace | None]:
        """Compute one result, alone: yields a workspace, or None if the result is (or has become) complete.

        On leaving the block without an exception, the record is written and `result` is renamed to its place. If
        another process computes the same key, raises Elsewhere after `timeout` seconds (-1: never; 0: at once), and
        Interrupted if the run is asked to end meanwhile. `on_loss` is called from a thread if the claim was taken over
        because this process had stopped for too long; nothing is committed then.
        """
        self.open_to_write()
        began, claim = time.time(), self.claim(stage, on_loss)
        if self.has(stage):
            yield None
            return
        self._take(claim, stage, timeout)
        try:
            if self.has(stage):
                claim.remove()
                yield None
                return
            root = claim.workspace
            assert root is not None
            workspace = Workspace(root, root / "result", root / "resume")
            shutil.rmtree(workspace.result, ignore_errors=True)  # of a killed holder, and not to be trusted
            workspace.result.mkdir()
            workspace.resume.mkdir(exist_ok=True)
            (root / INTERRUPTED).unlink(missing_ok=True)
            try:
                yield workspace
            except Interrupted:
                (root / INTERRUPTED).touch()
                raise
            if claim.is_lost():
                raise Elsewhere(f"{stage.name} {stage.key} was taken over by {claim.owner()}")
            self._commit(stage, workspace, began)
            claim.remove()
        finally:
            claim.release()

    def _take(self, claim: Claim, stage: Stage, timeout: float) -> None:
        until = math.inf if timeout < 0 else time.monotonic() + timeout
        while not claim.take():
            if time.monotonic() >= until:
                raise Elsewhere(f"{stage.name} {stage.key} is being computed by another process ({claim.owner()})")
            if interrupt.requested():
                raise Interrupted(f"interrupted while {claim.owner()} computes {stage.name} {stage.key}")
            time.sleep(0.1)

    def _commit(self, stage: Stage, work: Workspace, began: float) -> None:
        write_record(stage, work.result, began, work.numbers)
        flush(work.result)
        path = self.path(stage)
        path.parent.mkdir(exist_ok=True)
        if path.exists():  # incomplete: something has removed files
            os.rename(path, work.root / "incomplete")
        os.rename(work.result, path)
        self.clear_failure(stage)

    def interrupted(self, stage: Stage) -> bool:
        """Whether the last attempt was asked to end early and none has begun since."""
        return (self.work_path(stage) / INTERRUPTED).exists()

    def fail(self, stage: Stage, error: str) -> None:
        """Record why `stage` failed; `ddb status` prints it and `ddb table` counts it until the stage succeeds."""
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
        except ValueError:  # after a power failure
            return f"failed; its record is damaged: {self.failure_path(stage)}"

    def failure_time(self, stage: Stage) -> int | None:
        """When the last failure was recorded, by the file server's clock; None if there is none."""
        try:
            return self.failure_path(stage).stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def clear_failure(self, stage: Stage) -> None:
        self.failure_path(stage).unlink(missing_ok=True)

    def failure_path(self, stage: Stage) -> Path:
        """File with the whole error of a failed stage."""
        return self.root / ".failures" / stage.name / f"{stage.key}.json"


def share_with_group(folder: Path) -> None:
    """If its group may write `folder`, let it write everything that this process makes from now on, despite umask."""
    if folder.stat().st_mode & stat.S_IWGRP:
        os.umask(os.umask(0o077) & ~0o070)


def flush(directory: Path) -> None:
    """Push file contents to disk before the rename that declares them complete."""
    for path in directory.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
