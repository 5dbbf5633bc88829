"""The batch step: makes the job's directory and token, runs `slurm.node` on every node, and answers for the job.

    python -m slurm.job run configs/colored_digits.yaml         # in an allocation; slurm/ddb.sbatch does this

The job's exit code is the command's. If the command was interrupted (exit code 75), the job is requeued, if SLURM
allows it.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from slurm.files import check_private, read
from slurm.grant import step
from slurm.log import LaunchError, log
from slurm.node import INTERRUPTED
from slurm.scontrol import can_requeue, is_ending, job_name
from slurm.snapshot import module

PATIENCE = 30  # seconds that the other nodes have for cleaning up after the first one
RESTARTS = 50  # after so many, a job that was interrupted before its command began is not requeued
# A shell ignores the signals of SLURM until Python can handle them.
SHELTERED = ["sh", "-c", 'trap "" TERM USR1 USR2; exec "$0" "$@"']


def run(command: list[str]) -> int:
    """Run `ddb COMMAND` on a Ray cluster over the whole allocation; the job's exit code. Raises LaunchError."""
    if "SLURM_JOB_ID" not in os.environ or not command:
        raise LaunchError("submit with: sbatch slurm/ddb.sbatch run CONFIG")
    directory = make_directory()
    log(f"job {job_name()} on {os.environ['SLURM_JOB_NODELIST']}; its files: {directory}")
    token = directory / "token"
    with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    os.environ["DDB_REQUEUE"] = "1" if can_requeue() else ""  # whether the command may ask for it if a node is lost
    srun, environment = step(os.environ)
    node = module(Path(sys.executable), "slurm.node", str(directory), *command)
    # Of its own session, so that Ctrl-C reaches this process only.
    running = subprocess.Popen(
        [*srun, *SHELTERED, *node], env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    for number in (signal.SIGUSR1, signal.SIGINT):  # SLURM sends SIGTERM to every process itself
        signal.signal(number, lambda number, frame: running.send_signal(signal.SIGUSR1))
    while running.poll() is None and not (directory / "result").exists():
        time.sleep(0.5)
    with contextlib.suppress(ProcessLookupError):
        running.send_signal(signal.SIGUSR2)
    try:
        running.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        log("a node does not end; SLURM kills its processes with the job")
        running.kill()
    token.unlink(missing_ok=True)
    code, _, began = read(directory / "result").partition(" ")
    if not code:
        raise LaunchError(f"the first node did not finish (srun: exit code {running.returncode})")
    if code == str(INTERRUPTED):
        requeue(began == "True")
    log(f"exit code {code}")
    return int(code)


def make_directory() -> Path:
    """`<store>/slurm/<job>.<restart>/`, new and private. Raises LaunchError."""
    store = Path(os.environ.get("DDB_STORE") or "runs").absolute()
    directory = store / "slurm" / f"{os.environ['SLURM_JOB_ID']}.{os.environ.get('SLURM_RESTART_COUNT', '0')}"
    try:
        shutil.rmtree(directory, ignore_errors=True)  # of an older job with the same number
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700)
    except OSError as error:
        raise LaunchError(f"DDB_STORE={store}: {directory} cannot be made: {error.strerror}") from None
    check_private(directory)
    return directory


def requeue(began: bool) -> None:
    """Requeue this job, whose command had begun or not when it was interrupted."""
    if is_ending():
        log("interrupted; SLURM is ending this job")
    elif not can_requeue():
        log("interrupted; SLURM may not requeue this job: submit the same command again to resume")
    elif not began and int(os.environ.get("SLURM_RESTART_COUNT", "0")) >= RESTARTS:
        log(f"interrupted before the command began, after {RESTARTS} restarts: not requeued; allow more time")
    else:
        log("interrupted; requeued, to resume from the store")
        subprocess.run(["scontrol", "requeue", job_name()])


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1:]))
    except LaunchError as error:
        log(f"FAILED: {error}")
        sys.exit(1)
