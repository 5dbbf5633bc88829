"""What the batch script runs: it makes the job's directory and token, starts every node, and answers for the job.

    python -m slurm.job run configs/colored_digits.yaml         # inside an allocation; slurm/ddb.sbatch does this

The job's exit code is the command's. When the command says that it was interrupted and can go on (exit code 75), the
job is queued again, if SLURM allows it.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from slurm import grants, requeue
from slurm.allocation import job_label
from slurm.errors import LaunchError
from slurm.node import INTERRUPTED
from slurm.ray_node import FOREIGN
from slurm.rendezvous import check_private, make_token, read
from slurm.says import says
from slurm.snapshot import module
from slurm.step import step, step_environment

PATIENCE = 30  # seconds that the other nodes have for cleaning up once the first one is through
NUDGE = 5  # seconds between two signals that make the other nodes look whether the job is over
# A shell that ignores the signals of SLURM until Python can answer them, instead of ending by the first one.
SHELTERED = ["sh", "-c", 'trap "" TERM USR1 USR2; exec "$0" "$@"']


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
    if not command:
        raise LaunchError("no command; name one: sbatch slurm/ddb.sbatch run CONFIG")
    if os.environ.get("RAY_ADDRESS"):
        says(f"RAY_ADDRESS={os.environ['RAY_ADDRESS']} is ignored: this job starts a Ray of its own")
    for name in [*FOREIGN, "DDB_REQUEUE"]:
        os.environ.pop(name, None)
    directory = job_directory()
    token = make_token(directory)
    os.environ["DDB_GRACE"] = str(0.4 * _kill_wait())  # the rest is for ending Ray and cleaning up
    if requeue.allowed():
        os.environ["DDB_REQUEUE"] = "1"  # a run that waits for a lost node may ask for that instead
    granted = grants.of_job(os.environ["SLURM_JOB_ID"])
    os.environ["DDB_JOB_DIRECTORY"] = str(directory)
    says(f"job {os.environ['SLURM_JOB_ID']} on {os.environ['SLURM_JOB_NODELIST']}; its files: {directory}")
    received: list[int] = []
    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, lambda number, frame: received.append(number))
    signal.signal(signal.SIGINT, lambda number, frame: received.append(signal.SIGUSR1))  # Ctrl-C under salloc
    command = module(Path(sys.executable), "slurm.node", str(directory), *command)
    try:
        srun = subprocess.Popen(
            [*step(os.environ, granted), *SHELTERED, *command],
            env=step_environment(os.environ),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # the terminal's Ctrl-C comes to us alone
        )
        code = _wait(srun, directory, received)
    finally:
        token.unlink(missing_ok=True)
    result = read(directory / "result.json")
    if result is None:
        raise LaunchError(f"the first node did not come to an end (srun: exit code {code})")
    if result["code"] == INTERRUPTED:
        requeue.requeue(result["began"])
    says(f"exit code {result['code']}")
    return result["code"]


def _wait(srun: subprocess.Popen, directory: Path, received: list[int]) -> int:
    """Exit code of the step, which gets every signal that we `received`.

    Once the first node is through, the others are told, and ended where one hangs.
    """
    ended = nudged = None
    while srun.poll() is None:
        now = time.monotonic()
        while received:
            srun.send_signal(received.pop(0))
        if ended is None and read(directory / "end") is not None:
            ended = now
        if ended is not None and (nudged is None or now > nudged + NUDGE):
            srun.send_signal(signal.SIGUSR2)
            nudged = now
        if ended is not None and now > ended + PATIENCE:
            says("a node does not end; SLURM kills what is left with the job")
            srun.kill()
        time.sleep(0.5)
    return srun.returncode


def job_directory() -> Path:
    """`<store>/slurm/<job>.<restart>/`, new, empty and ours alone. Raises LaunchError where that cannot be had."""
    store = Path(os.environ.get("DDB_STORE") or "runs").absolute()
    directory = store / "slurm" / job_label(os.environ)
    try:
        shutil.rmtree(directory, ignore_errors=True)  # of a job with the same number, before SLURM was set up anew
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700)
    except FileExistsError:
        raise LaunchError(f"{directory}: exists already and cannot be removed; DDB_STORE names another store") from None
    except OSError as error:
        raise LaunchError(f"DDB_STORE={store}: cannot be written: {error.strerror}") from None
    check_private(directory)
    return directory


def _kill_wait() -> float:
    """Seconds that SLURM leaves between SIGTERM and SIGKILL."""
    shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True).stdout
    match = re.search(r"KillWait\s*=\s*(\d+)", shown)
    return float(match[1]) if match else 30.0


if __name__ == "__main__":
    main()
