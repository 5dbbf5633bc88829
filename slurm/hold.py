"""What a job without a command runs: it keeps the job's Ray up for commands that come by `slurm/attach`.

    sbatch slurm/ddb.sbatch                             # then: slurm/attach JOB ddb run CONFIG, as often as wanted

It ends when nobody has used the Ray for DDB_IDLE_TIMEOUT minutes: no driver was connected, no task or actor held
anything, and no step of the job but the launcher's own was running. It also ends when the job is asked to end, as soon
as the commands that use the Ray have done so.
"""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

from slurm.errors import LaunchError
from slurm.says import says

IDLE = "60"  # minutes
POLL, LOOK = 1.0, 15.0  # seconds between two looks at this node's disk, and at Ray and SLURM
BESIDES = ("batch", "extern", "interactive")  # steps that every job has


def idle_timeout(text: str) -> float | None:
    """Seconds of DDB_IDLE_TIMEOUT, which is in minutes; None for 0, which waits until the time limit."""
    try:
        minutes = float(text)
        assert minutes >= 0
    except (ValueError, AssertionError):
        raise LaunchError(f"DDB_IDLE_TIMEOUT={text}: must be a number of minutes, 0 for no limit") from None
    return minutes * 60 or None


def drivers() -> int:
    """How many other drivers are connected."""
    import ray
    from ray._private.state import jobs

    mine = ray.get_runtime_context().get_job_id()
    connected = [job for job in jobs() if not job["IsDead"] and job["JobID"] != mine]
    return sum("/ray/dashboard/" not in job["Entrypoint"] for job in connected)


def resources_held() -> bool:
    """Whether a task or an actor holds CPUs or GPUs."""
    import ray

    total, free = ray.cluster_resources(), ray.available_resources()
    return any(free.get(name, 0) < total.get(name, 0) for name in ("CPU", "GPU"))


def attached(job: str, own: str) -> bool:
    """Whether somebody is attached: steps of the job besides the launcher's `own`."""
    asked = subprocess.run(["squeue", "--steps", "--noheader", f"--jobs={job}", "--format=%i"],
                           capture_output=True, text=True)  # fmt: skip
    steps = [line.strip().rpartition(".")[2] for line in asked.stdout.splitlines()]
    return any(step not in (own, *BESIDES) for step in steps)


def hold(seconds: float | None, job: str, own: str, flag: Path) -> str:
    """Wait; why it ended."""
    used = looked = time.monotonic()
    while True:
        time.sleep(POLL)
        now, asked = time.monotonic(), flag.exists()
        if now < looked + LOOK and not (asked and now > looked + POLL):
            continue
        looked = now
        busy = drivers() > 0
        if asked and not busy:
            return "the job is ending"
        if busy or resources_held() or attached(job, own):
            used = time.monotonic()
        elif seconds is not None and now > used + seconds:
            return f"idle for {seconds / 60:g} minutes (DDB_IDLE_TIMEOUT)"


def main() -> None:
    """Command line of the module; RAY_ADDRESS says where Ray is."""
    import ray

    try:
        seconds = idle_timeout(os.environ.get("DDB_IDLE_TIMEOUT", IDLE))
    except LaunchError as error:
        says(f"FAILED: {error}")
        sys.exit(2)
    job = os.environ["SLURM_JOB_ID"]
    ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False, logging_level=logging.ERROR)
    says(f"no command was given: Ray is kept up; use it by: slurm/attach {job} ddb run CONFIG")
    why = hold(seconds, job, os.environ["SLURM_STEP_ID"], Path(os.environ["DDB_INTERRUPT_FILE"]))
    says(f"Ray ends: {why}")


if __name__ == "__main__":
    main()
