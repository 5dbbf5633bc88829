"""A Python environment on this node's own disk, unpacked once from one large file on shared storage.

    tar -czf /shared/ddb-env.tar.gz -C .venv .          # made once; DDB_ENVIRONMENT=/shared/ddb-env.tar.gz

A process of ours opens thousands of files of its environment, and a job has many processes; storage that many machines
share answers such questions slowly, and one large file fast. The copy lies in the job's private directory on the node
and goes with it. A virtual environment needs no change for that: an interpreter looks for its packages beside the path
by which it was started, and everything here is started as `python -m`, except what stands in `bin`: those scripts name
their interpreter in the first line.
"""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from slurm.errors import LaunchError
from slurm.says import says

FOLDER = "environment"  # in the node's private directory


def unpack(environment: Mapping[str, str], directory: Path) -> Path | None:
    """The interpreter of the copy in `directory`; None without DDB_ENVIRONMENT. Raises LaunchError."""
    if not environment.get("DDB_ENVIRONMENT"):
        return None
    archive, folder = Path(environment["DDB_ENVIRONMENT"]), directory / FOLDER
    began = time.monotonic()
    if not archive.is_file():
        raise LaunchError(f"DDB_ENVIRONMENT={archive}: no such file on this node")
    folder.mkdir()
    command = ["tar", "--extract", "--no-same-owner", f"--file={archive}", f"--directory={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"tar ended with {done.returncode}"])[0]
        raise LaunchError(f"DDB_ENVIRONMENT={archive}: cannot be unpacked into {directory}: {reason}")
    python = folder / "bin" / "python"
    if not os.access(python, os.X_OK):
        raise LaunchError(f"DDB_ENVIRONMENT={archive}: holds no bin/python that runs on this node; make it with: "
                          f"tar -czf {archive} -C .venv .")  # fmt: skip
    name_interpreter(folder / "bin", python)
    says(f"environment unpacked into {folder} in {time.monotonic() - began:.0f} s")
    return python


def name_interpreter(scripts: Path, python: Path) -> None:
    """Let the scripts of an environment (`ray`, `ddb`) start its own interpreter."""
    for script in scripts.iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        first, newline, rest = script.read_bytes().partition(b"\n")
        if first.startswith(b"#!") and b"python" in first:
            script.write_bytes(b"#!" + os.fsencode(python) + newline + rest)
