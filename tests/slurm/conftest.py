"""One local SLURM for all tests of a session that need one, and the small experiment that its jobs compute."""

import copy
import fcntl
import sys
import time
from pathlib import Path

import pytest
import yaml

from slurm.ray_node import LOCK, PREFIX, temporary_directory
from tests.ray_jobs.conftest import SMALL
from tests.slurm.local_slurm import LocalSlurm

BATCH = ("--nodes=2", "--cpus-per-task=1", "slurm/ddb.sbatch")
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    with LocalSlurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_left_behind(request):
    """After every test with a SLURM: no Ray, no launcher and no temporary directory of its jobs."""
    yield
    if "slurm" not in request.fixturenames:
        return
    running = request.getfixturevalue("slurm")
    running.call("scancel", "--user=root")  # what a failed test has left
    deadline = time.monotonic() + 600
    while (left := leftovers(running)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not left


def abandoned(lock):
    """Whether nobody holds this lock file any more."""
    with open(lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def start_and_end_a_launcher():
    """The next launcher on a node removes the directory of one that SLURM had to kill."""
    with temporary_directory({"TMPDIR": "/tmp"}):
        pass


def leftovers(slurm):
    """Processes of our jobs, and directories in /tmp whose launcher is gone."""
    found = [str(path) for path in Path("/tmp").glob(f"{PREFIX}*/{LOCK}") if abandoned(path)]
    for status in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = status.read_bytes()
        except OSError:
            continue
        if f"SLURM_CONF={slurm.configuration}".encode() in variables and b"SLURM_STEP_ID=" in variables:
            found.append((status.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def experiment(directory, **sections):
    """A file with the small experiment, two CDPM workers, and settings of some sections changed."""
    values = copy.deepcopy(SMALL) | {"methods": {"erm": {}, "ddb_two_step": {}}}
    values["resources"] |= {"cdpm_workers": 2, "checkpoint_every": 50}  # each takes as long as Ray's next look, 2 s
    for name, change in sections.items():
        values[name] = {**values[name], **change}
    path = directory / "small.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def submitted(slurm, directory, *arguments, batch=BATCH, **environment):
    """A job of the batch script with its store and log in `directory`: its number."""
    options, script = batch[:-1], batch[-1]
    command = [*options, f"--output={directory}/%j.log", script, *map(str, arguments)]
    variables = {"DDB_STORE": str(directory / "runs"), "DDB_PYTHON": sys.executable}
    return slurm.sbatch(*command, **variables, **environment)


def log(directory, job):
    """What the job has said so far."""
    path = directory / f"{job}.log"
    return path.read_text() if path.exists() else ""


def until(condition, job_log):
    """Wait for something that a job does; its log is the message if it does not within 20 minutes."""
    deadline = time.monotonic() + 1200
    while not (found := condition()):
        assert time.monotonic() < deadline, job_log.read_text() if job_log.exists() else "no log"
        time.sleep(0.1)
    return found
