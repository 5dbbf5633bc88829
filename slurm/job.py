"""What the batch script runs: it makes the job's directory and token, starts every node, and answers for the job.

    python -m slurm.job run configs/colored_digits.yaml         # inside an allocation; slurm/ddb.sbatch does this

The job's exit code is the command's. When SIGUSR1 came (the time limit is near, or somebody asks) and the command has
stopped where it can go on, the job is queued again, if SLURM allows it.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from slurm.allocation import job_label
from slurm.errors import LaunchError
from slurm.node import INTERRUPTED
from slurm.ray_node import INHERITED
from slurm.rendezvous import make_token, read
from slurm.says import says

PATIENCE = 30  # seconds that the other nodes have for cleaning up once the first one is through
RESTARTS = 50  # requeues before a job that never gets ready is left alone


def main() -> None:
    """Command line of the module: what `ddb` is given."""
    try:
        code = run(sys.argv[1:])
    except LaunchError as error:
        says(f"FAILED: {error}")
        code = 1
    sys.exit(code)


def run(command: list[str]) -> int:
    """Run `ddb COMMAND` on a Ray over the whole allocation; the exit code of the job. Raises LaunchError."""
    if "SLURM_JOB_ID" not in os.environ:
        raise LaunchError("not inside a SLURM job; submit with: sbatch slurm/ddb.sbatch run CONFIG")
    if os.environ.get("RAY_ADDRESS"):
        says(f"RAY_ADDRESS={os.environ['RAY_ADDRESS']} is ignored: this job starts a Ray of its own")
    for name in INHERITED:
        os.environ.pop(name, None)
    directory = job_directory()
    token = make_token(directory)
    os.environ["DDB_GRACE"] = str(0.4 * _kill_wait())  # the rest is for ending Ray and cleaning up
    nodes = os.environ["SLURM_JOB_NUM_NODES"]
    says(f"job {os.environ['SLURM_JOB_ID']} on {os.environ['SLURM_JOB_NODELIST']}; its files: {directory}")
    step = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--no-kill", "--kill-on-bad-exit=0"]
    if "SLURM_CPUS_PER_TASK" in os.environ:  # srun does not take it over by itself
        step.append(f"--cpus-per-task={os.environ['SLURM_CPUS_PER_TASK']}")
    step += ["--mem=0", "--export=ALL"]  # all of the job's memory; our variables, also under sbatch --export=NONE
    try:
        srun = subprocess.Popen([*step, sys.executable, "-m", "slurm.node", str(directory), *command])
        for number in (signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, lambda number, frame: srun.send_signal(number))
        code = _wait(srun, directory)
    finally:
        token.unlink(missing_ok=True)
    result = read(directory / "result.json")
    if result is None:
        raise LaunchError(f"the first node did not come to an end (srun: exit code {code})")
    if result["code"] == INTERRUPTED and result["signal"] == "SIGUSR1":
        _requeue()
    says(f"exit code {result['code']}")
    return result["code"]


def _wait(srun: subprocess.Popen, directory: Path) -> int:
    """Exit code of the step, which is ended where a node hangs after the first one is through."""
    ended = None
    while srun.poll() is None:
        if ended is None and read(directory / "end") is not None:
            ended = time.monotonic()
        if ended is not None and time.monotonic() > ended + PATIENCE:
            says("a node does not end; SLURM kills what is left with the job")
            srun.kill()
        time.sleep(0.2)
    return srun.returncode


def job_directory() -> Path:
    """`<store>/slurm/<job>.<restart>/`, new and empty. Raises LaunchError where the store cannot be written."""
    store = Path(os.environ.get("DDB_STORE") or "runs").absolute()
    directory = store / "slurm" / job_label(os.environ)
    try:
        shutil.rmtree(directory, ignore_errors=True)  # of a job with the same number, before SLURM was set up anew
        directory.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise LaunchError(f"DDB_STORE={store}: cannot be written: {error.strerror}") from None
    return directory


def _kill_wait() -> float:
    """Seconds that SLURM leaves between SIGTERM and SIGKILL."""
    shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True).stdout
    match = re.search(r"KillWait\s*=\s*(\d+)", shown)
    return float(match[1]) if match else 30.0


def _requeue() -> None:
    """Queue this job again, and say so."""
    job, restarts = os.environ["SLURM_JOB_ID"], int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    shown = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True).stdout
    if "Requeue=1" not in shown:
        says("interrupted; SLURM may not requeue this job: the next of a chain, or the same submitted again, goes on")
    elif restarts >= RESTARTS:
        says(f"interrupted; requeued {restarts} times already: submit the same again, and it goes on")
    else:
        says("interrupted; queued again, to go on from the store")
        subprocess.run(["scontrol", "requeue", job])


if __name__ == "__main__":
    main()
