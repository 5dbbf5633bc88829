"""The file `environment` in a job's directory: what a shell needs to be one of the job's own processes.

    . runs/slurm/12.0/environment; ray status           # on the job's first node; slurm/attach does this

It is there from the moment that the job's Ray is up, and for its owner alone.
"""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

PREFIXES = ("RAY_", "DDB_", "GLOO_", "NCCL_", "OMP_", "PYTHON")
NAMES = ("PATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "TMPDIR", "VIRTUAL_ENV")
PATHS = {"DDB_STORE": "runs", "DDB_DATA": "data"}  # relative to the folder of the job, not of who attaches


def write(directory: Path, environment: Mapping[str, str], python: Path) -> None:
    """Write the file; `environment` is that of the job's command, and `python` its interpreter."""
    chosen = {name: value for name, value in environment.items() if name.startswith(PREFIXES) or name in NAMES}
    chosen |= {name: str(Path(environment.get(name) or default).absolute()) for name, default in PATHS.items()}
    chosen["PATH"] = f"{python.parent}:{environment.get('PATH', os.defpath)}"
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in chosen.items() if name.isidentifier()]
    temporary = directory / ".environment"
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(lines)
    os.replace(temporary, directory / "environment")
