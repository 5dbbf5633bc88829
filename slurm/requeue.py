"""Queueing this job again: whether SLURM allows it, and under which name.

One task of a job array is asked for as ARRAY_TASK: by its number alone SLURM may take it for the whole array.
"""

import os
import re
import subprocess

from slurm.says import says

RESTARTS = 50  # requeues before a job that never gets ready is left alone


def name() -> str:
    """What SLURM calls this job, or this one task of a job array."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def shown() -> str:
    """One line of `scontrol show job`; empty where SLURM does not answer."""
    asked = subprocess.run(["scontrol", "show", "job", name(), "--oneliner"], capture_output=True, text=True)
    return asked.stdout


def allowed() -> bool:
    """Whether SLURM may queue this job again; one of salloc has no script that could start anew."""
    return {"Requeue=1", "BatchFlag=1"} <= set(shown().split())


def ending() -> bool:
    """Whether SLURM is ending this job: cancelled, out of time, or requeued already.

    While a job that is to be preempted still has its grace time, it is running.
    """
    state = re.search(r"\bJobState=(\w+)", shown())
    return state is not None and state[1] not in ("RUNNING", "SUSPENDED")


def requeue(began: bool) -> None:
    """Queue this job again, and say so; `began` says whether the command had begun before it was interrupted."""
    restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    if ending():
        says("interrupted; SLURM is ending this job itself")
    elif not allowed():
        says("interrupted; SLURM may not requeue this job: submit the same command again to resume")
    elif not began and restarts >= RESTARTS:
        says(f"interrupted before its command began, for the {restarts + 1}th time: it is not queued again")
    else:
        says("interrupted; queued again, to resume from the store")
        subprocess.run(["scontrol", "requeue", name()])
