"""Locks of a store between processes of any node: flock files, or lease files where flock does not work.

    lock = Flock(path)              # or Lease(path): the same methods, the kind is the store's (ddb.lock_kind)
    if lock.acquire():              # at once; never waits
        ...
        lock.lost()                 # whether somebody took it over, which a lease's holder asks before it commits
        lock.release()
    lock.held()                     # somebody has it; ask the same object again: it watches the lease

A lease is a file that its holder touches every HEARTBEAT seconds. It ends at once when its holder was a process of
this machine that is gone, else when a reader has seen it unchanged for DURATION seconds of its own monotonic clock:
clocks of two nodes are never compared. Exactly one takes a dead lease over, by a rename that leaves no gap.
"""

import contextlib
import fcntl
import json
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ddb import machine

HEARTBEAT = 10.0  # seconds between two touches of a held lease
DURATION = 60.0  # seconds without one after which a lease is over


class Flock:
    """flock(2) on a file that stays; the kernel ends it with its holder. What the file says is its last holder."""

    def __init__(self, path: Path):
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return False
            raise
        self._descriptor = descriptor
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_myself()).encode(), 0)
        return True

    def release(self) -> None:
        """Give back a lock that this object holds, also where a forked child has the descriptor still."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
        self._descriptor = None

    def held(self) -> bool:
        """Whether somebody has the lock."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY)  # which the lock of another user may not be written for
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def lost(self) -> bool:
        return False

    def owner(self) -> str:
        """Who has the lock, in words; only of use while it is held."""
        return _in_words(_read(self.path))


class Lease:
    """A file that exists while the lock is held and is touched by a thread of its holder."""

    def __init__(self, path: Path, on_loss: Callable[[], None] | None = None):
        self.path, self._on_loss = path, on_loss
        self._token: str | None = None
        self._end = threading.Event()
        self._seen: tuple[Any, float] = (None, 0.0)  # the file as it was, and since when it has been that
        self._election: Lease | None = None  # one that stands in the way

    def acquire(self) -> bool:
        """Take the lease if it is free or its holder is dead."""
        token = secrets.token_hex(8)
        content = json.dumps(_myself() | {"token": token}).encode()
        try:
            _create(self.path, content)
        except FileExistsError:
            if not self._take_over(token, content):
                return False
        self._token, self._end = token, threading.Event()
        threading.Thread(target=self._beat, args=(token, self._end), daemon=True).start()
        return True

    def release(self) -> None:
        """Give back what this object took; nothing where it was taken over."""
        self._end.set()
        if not self.lost():
            self.path.unlink(missing_ok=True)
        self._token = None

    def held(self) -> bool:
        """Whether somebody living has the lease."""
        return os.path.lexists(self.path) and not self._dead()

    def lost(self) -> bool:
        """Whether the lease that this object took is somebody else's by now."""
        return self._token is None or not self._is(self._token)

    def owner(self) -> str:
        """Who has the lease, in words; only of use while it is held."""
        return _in_words(_read(self.path))

    def _is(self, token: str | None) -> bool:
        """Whether the lease that stands there is the one with `token` (None: one whose holder died while writing)."""
        found = _read(self.path)
        return found is not None and found.get("token") == token

    def _dead(self) -> bool:
        """Whether a lease stands there that has no living holder."""
        owner = _read(self.path)
        if owner is None:
            return False
        if owner.get("machine") == machine.identity() and machine.started(owner["pid"]) != owner["started"]:
            return True
        state = (owner.get("token"), owner["changed"])
        if self._seen[0] != state:
            self._seen = (state, time.monotonic())
        return time.monotonic() - self._seen[1] > DURATION

    def _take_over(self, token: str, content: bytes) -> bool:
        """Put our lease in the place of a dead one, unless another process does.

        A file named after the dead lease elects the one that may: nobody can judge a lease, be slow, and then put
        aside the living one that has followed it.
        """
        dead = (_read(self.path) or {}).get("token")
        if not self._dead() or not self._is(dead):
            return False
        election, ours = self.path.with_suffix(f".over-{dead}"), self.path.with_suffix(f".new-{token}")
        try:
            _create(election, content)
        except FileExistsError:
            self._clear(election)
            return False
        try:
            _create(ours, content)
            if not self._is(dead):
                return False
            os.replace(ours, self.path)
            return self._is(token)
        finally:
            ours.unlink(missing_ok=True)
            election.unlink(missing_ok=True)

    def _clear(self, election: Path) -> None:
        """Remove an election whose winner died before it had taken over."""
        if self._election is None or self._election.path != election:
            self._election = Lease(election)
        if self._election._dead():
            election.unlink(missing_ok=True)

    def _beat(self, token: str, end: threading.Event) -> None:
        while not end.wait(HEARTBEAT):
            with contextlib.suppress(OSError):  # the server does not answer: again, or the lease is over
                if self._is(token):
                    os.utime(self.path)
                elif not end.is_set():
                    if self._on_loss:
                        self._on_loss()
                    return


def _create(path: Path, content: bytes) -> None:
    """A new file, whole or not at all for whoever reads it a moment later. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any] | None:
    """Owner and time of change; None where there is no file. Opened, since NFS then asks the server for the time."""
    try:
        with open(path, "rb") as file:
            changed, content = os.fstat(file.fileno()).st_mtime_ns, file.read()
    except FileNotFoundError:
        return None
    try:
        owner = json.loads(content)
    except ValueError:  # just made, or its holder died over it
        owner = {}
    return owner | {"changed": changed}


def _myself() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": machine.node_name(), "pid": pid, "started": machine.started(pid), "machine": machine.identity()}


def _in_words(owner: dict[str, Any] | None) -> str:
    return f"{owner['host']}, process {owner['pid']}" if owner and "host" in owner else "another process"
