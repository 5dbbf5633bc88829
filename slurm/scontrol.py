"""Questions to SLURM's controller.

One task of a job array is named ARRAY_TASK: its job number can also be the number of the whole array.
"""

import os
import re
import subprocess

PATIENCE = 30  # seconds for an answer


def ask(*command: str) -> subprocess.CompletedProcess:
    """Run a SLURM command. If it is missing or does not answer, it has an exit code like any other."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]}: missing, or no answer in {PATIENCE} s")


def field(shown: str, name: str) -> str:
    """Value of `name` in a list of `Name=value`, which may contain spaces; empty if there is none."""
    match = re.search(rf"(?:^|\s){name}=(.*?)(?=\s+[A-Z][\w/:]*=|\s*$)", shown, re.MULTILINE)
    return match[1] if match and match[1] != "(null)" else ""


def host_names(nodes: str) -> list[str]:
    """Names in a node list: n[1-2] -> n1, n2."""
    return ask("scontrol", "show", "hostnames", nodes).stdout.split()


def job_name() -> str:
    """SLURM's name of the job, or of the array task, that this process belongs to."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def own_job() -> str:
    """What `scontrol show job` prints about this job."""
    return ask("scontrol", "show", "job", job_name(), "--details").stdout


def can_requeue() -> bool:
    """Whether SLURM may requeue this job; an interactive one has no script that could start again."""
    return {"Requeue=1", "BatchFlag=1"} <= set(own_job().split())


def is_ending() -> bool:
    """Whether SLURM is ending this job. During the grace time of a preemption, the job is still running."""
    return field(own_job(), "JobState") not in ("", "RUNNING", "SUSPENDED")


def kill_wait() -> float:
    """Seconds between SIGTERM and SIGKILL at the end of a job."""
    match = re.search(r"KillWait\s*=\s*(\d+)", ask("scontrol", "show", "config").stdout)
    return float(match[1]) if match else 30.0


def complaint(said: str) -> str:
    """Error output of a SLURM command in one line, without its prefixes."""
    lines = [re.sub(r"^(\w+: )?((slurm_load_jobs )?(error|fatal): )?", "", line) for line in said.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines))) or "no message"
