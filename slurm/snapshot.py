"""The code that a job runs: a copy of the project taken at submission, so that later edits do not reach the job.

folder = take(Path("runs/slurm/code").absolute(), git_state())       # ddb submit
command = module(python, "slurm.node", "...")                        # a process that runs this process's code
"""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from slurm.rendezvous import check_private

ROOT = Path(__file__).resolve().parents[1]  # where this process's code is
PARTS = ("ddb", "ray_jobs", "slurm", "configs")
RECORD = "snapshot.json"  # beside the copy: the commit that it was taken from; `ddb.record` reads it


def take(folder: Path, git: dict[str, Any] | None) -> Path:
    """`folder`/<hash of user and content>, which the user's jobs with the same code share.

    It belongs to the user alone, since a group may write into the store and the job runs what is there. Raises OSError,
    and LaunchError if what has its name belongs to another user.
    """
    files = [path for part in PARTS for path in sorted((ROOT / part).rglob("*")) if path.is_file()]
    files = [path for path in files if "__pycache__" not in path.parts]
    digest = hashlib.sha256(json.dumps([os.getuid(), git]).encode())
    for path in files:
        digest.update(f"{path.relative_to(ROOT)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    target = folder / digest.hexdigest()[:16]
    if target.exists():
        check_private(target)
        return target
    folder.mkdir(parents=True, exist_ok=True)
    copy = Path(tempfile.mkdtemp(dir=folder))  # mode 0700
    for path in files:
        place = copy / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, place)
    (copy / RECORD).write_text(json.dumps((git or {}) | {"snapshot": str(target)}))
    try:
        copy.rename(target)
    except OSError:  # another submission was quicker
        shutil.rmtree(copy)
    return target


def module(python: Path, name: str, *arguments: str) -> list[str]:
    """`python -m NAME ARGUMENTS` with the code of this process, whatever lies in the current folder."""
    start = (
        "import runpy, sys; sys.path[0], name = sys.argv[1:3]; del sys.argv[1:3]; "
        "runpy.run_module(name, None, '__main__', True)"
    )
    return [str(python), "-c", start, str(ROOT), name, *arguments]
