"""The step that runs the launcher on every node of a job: it gets all that SLURM granted there, and asks for no more.

What sbatch, salloc and a shell around them left in variables is not asked for again: it says how the job was requested,
which need not be what a node got, and srun refuses some of it where it is asked for twice.
"""

import re
from collections.abc import Mapping

from slurm.grants import Grant

# What tells of the job itself, and of the two choices that hold for CPUs wherever they are.
KEPT = re.compile(r"SLURM_(?:JOB_(?!GPUS|CPUS)|ARRAY_|RESTART_|CONF|CLUSTER|WORKING_CLUSTER|SUBMIT_|HINT|THREADS_PER_)")
# SLURM sets these in a step that has GPUs; in one that has none, the batch step's would stay.
DEVICES = ("CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")


def step(inherited: Mapping[str, str], grants: Mapping[str, Grant]) -> list[str]:
    """`srun` and its options, one task on each node of the job."""
    nodes = len(grants)
    options = [f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--no-kill", "--kill-on-bad-exit=0"]
    options += ["--mem=0", "--export=ALL"]  # all of the job's memory; our variables, also under sbatch --export=NONE
    return ["srun", *options, *_cpus(inherited, grants), *_gpus(inherited, grants)]


def step_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What `srun` may see: nothing that asks it for something, nor the batch step's GPUs."""
    return {
        name: value
        for name, value in inherited.items()
        if name not in DEVICES and (KEPT.match(name) or not name.startswith(("SLURM_", "SLURMD_")))
    }


def _cpus(inherited: Mapping[str, str], grants: Mapping[str, Grant]) -> list[str]:
    """All CPUs: a step that names no number has them, but a site may bind each task to one core."""
    if "SLURM_HINT" in inherited or "SLURM_THREADS_PER_CORE" in inherited:
        return []  # a core then counts once in a request, and twice in a grant
    counts = {grant.cpus for grant in grants.values()}
    return [f"--cpus-per-task={counts.pop()}"] if len(counts) == 1 else ["--cpu-bind=none"]


def _gpus(inherited: Mapping[str, str], grants: Mapping[str, Grant]) -> list[str]:
    """All GPUs: an exclusive job has those of its nodes, but a step of it only those that it names.

    Where some nodes have none, no request fits all nodes; there the launcher itself chooses the GPUs granted.
    """
    counts = {grant.gpus for grant in grants.values()}
    if inherited.get("DDB_GPUS") == "0":
        return ["--gres=none"]
    if 0 in counts:
        return []
    if len(counts) == 1:
        return [f"--gres=gpu:{counts.pop()}"]
    return [f"--gpus={sum(grant.gpus for grant in grants.values())}"]
