"""The code that a job runs: a copy of the project from the time of submission, so later edits do not reach the job."""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from slurm.files import check_private

ROOT = Path(__file__).resolve().parents[1]  # where this process's code is
RECORD = "snapshot.json"  # in the copy: its path and the commit it was taken from; `ddb.store.record` reads it


def take(folder: Path, git: dict[str, Any] | None) -> Path:
    """Copy the code to `folder`/<hash of user and content>, which the user's jobs with the same code share.

    It is private, since others may be able to write into the store. Raises OSError, and LaunchError if the copy that
    is already there is not private.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copy = Path(tempfile.mkdtemp(dir=folder))
    for part in ("ddb", "ray_jobs", "slurm"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    digest = hashlib.sha256(json.dumps([os.getuid(), git]).encode())
    for path in sorted(path for path in copy.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(copy)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    target = folder / digest.hexdigest()[:16]
    (copy / RECORD).write_text(json.dumps((git or {}) | {"snapshot": str(target)}))
    try:
        copy.rename(target)
    except OSError:  # it is there already
        shutil.rmtree(copy)
        check_private(target)
    return target


def module(python: Path, name: str, *arguments: str) -> list[str]:
    """`python -m NAME ARGUMENTS` with the code of this process, whatever is in the current folder."""
    code = "import runpy, sys; sys.path[0], name = sys.argv[1:3]; del sys.argv[1:3]; "
    return [str(python), "-c", code + "runpy.run_module(name, None, '__main__', True)", str(ROOT), name, *arguments]
