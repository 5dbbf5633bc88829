"""The files by which the nodes of one job find each other, on storage that all of them share.

    <store>/slurm/<job>.<restart>/
        token           what lets a process into the job's Ray; readable by its owner alone
        head.json       address of the head, once it accepts connections
        <node>.json     where each node is: address, CPUs, GPUs, temporary directory
        end             the command is over
        result.json     its exit code, and whether a signal ended it early
        <node>.log      what Ray's start says on that node
        ray/<node>/     Ray's own logs, copied when the job ends

Every file is whole or absent: it is written under another name and renamed. The directory is its owner's alone.
"""

import json
import os
import secrets
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slurm.errors import LaunchError

FIRST, LONGEST = 0.1, 1.0  # seconds between two looks, which become rarer: every node of a job looks


def publish(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file that no reader sees half of."""
    temporary = path.with_name(f".{path.name}-{os.uname().nodename}-{os.getpid()}")
    temporary.write_text(json.dumps(content))
    os.replace(temporary, path)


def read(path: Path) -> dict[str, Any] | None:
    """What was published, or None. Opening it, not asking whether it exists: NFS caches the answer to that."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def wait_for(path: Path, seconds: float, what: str, give_up: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Until `path` is published. Raises LaunchError after `seconds`, or when `give_up` says so."""
    deadline, pause = time.monotonic() + seconds, FIRST
    while (content := read(path)) is None:
        if give_up():
            raise LaunchError(f"{what}: given up, since the job is ending")
        if time.monotonic() > deadline:
            raise LaunchError(f"{what}: not there after {seconds:.0f} s (DDB_START_TIMEOUT)")
        os.listdir(path.parent)  # makes an NFS client look again
        time.sleep(pause)
        pause = min(1.5 * pause, LONGEST)
    return content


def check_private(directory: Path) -> None:
    """Raises LaunchError unless a job's directory is ours alone: others may be able to write into the store."""
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise LaunchError(f"{directory}: is not a directory of ours alone, so nothing in it is believed")


def make_token(directory: Path) -> Path:
    """A new token file that only its owner can read; it exists with that mode from the first moment."""
    path = directory / "token"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    return path


def tail(path: Path, lines: int = 25) -> str:
    """The end of a log, or a word on why there is none."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) or "(empty)"
    except OSError as error:
        return f"({error.strerror})"
