"""Whether torch sees the GPUs that SLURM granted to this node: asked before any stage, beside Ray's start.

asked = gpus.ask(python, environment, allocation.gpus)
...
gpus.check(asked, allocation.name, allocation.gpus, seconds)
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from slurm.errors import LaunchError
from slurm.snapshot import module


def ask(python: Path, environment: Mapping[str, str], granted: int) -> subprocess.Popen | None:
    """Begin to ask; None where no GPU was granted."""
    if not granted:
        return None
    command = module(python, "slurm.gpus")
    return subprocess.Popen(command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check(asked: subprocess.Popen | None, node: str, granted: int, seconds: float) -> None:
    """Wait for the answer. Raises LaunchError where torch sees fewer GPUs than were `granted`."""
    if asked is None:
        return
    try:
        answer, complaint = asked.communicate(timeout=max(seconds, 1))
    except subprocess.TimeoutExpired:
        asked.kill()
        raise LaunchError(f"node {node}: torch does not say within the start deadline (DDB_START_TIMEOUT) how many "
                          "GPUs it sees; look at nvidia-smi there") from None  # fmt: skip
    if asked.returncode:
        last = (complaint.strip().splitlines() or ["no word"])[-1]
        raise LaunchError(f"node {node}: torch cannot be asked for its GPUs: {last}")
    found = json.loads(answer.strip().splitlines()[-1])
    if found["gpus"] < granted:
        built = found["built for"]
        hint = (
            f"look at nvidia-smi on {node} and at CUDA_VISIBLE_DEVICES={found['visible']}"
            if built
            else "this torch is built for CPUs only: install one that is built for GPUs"
        )
        raise LaunchError(f"node {node}: SLURM granted {granted} GPUs, and torch sees {found['gpus'] or 'none'}; {hint}"
                          "; DDB_GPUS=0 runs the job without its GPUs")  # fmt: skip


def main() -> None:
    """What torch sees, as one line of JSON."""
    import torch

    built = torch.version.cuda or torch.version.hip
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    json.dump({"gpus": torch.cuda.device_count(), "built for": built, "visible": visible}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
