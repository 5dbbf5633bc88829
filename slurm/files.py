"""The files by which the nodes of a job find each other, in `<store>/slurm/<job>.<restart>/` on shared storage.

    token           lets a process into the job's Ray; mode 0600, deleted with the job
    head            address of Ray's head
    failed-<node>   why this node could not start
    result          exit code of the command, and whether it had begun; the job is over
    <node>.log      output of Ray's start on this node
    ray/<node>/     Ray's logs, copied when the job ends

A file is complete or absent. The directory is private, since others may be able to write into the store.
"""

import os
import stat
from pathlib import Path

from slurm.log import LaunchError


def publish(path: Path, text: str) -> None:
    """Write a file atomically."""
    temporary = path.with_name(f".{path.name}-{os.uname().nodename}-{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def read(path: Path) -> str:
    """Content of a published file; empty if there is none yet."""
    os.listdir(path.parent)  # makes an NFS client look again
    return path.read_text(encoding="utf-8") if path.exists() else ""


def check_private(directory: Path) -> None:
    """Raises LaunchError unless only this user can enter the directory."""
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise LaunchError(f"{directory}: must be a directory of this user with mode 0700")
