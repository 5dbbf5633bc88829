"""The documents' SLURM commands, as an ordinary user types them in a clone, on nodes like those that they name."""

import json

import pytest

from tests.printed_commands import (
    BY_HAND,
    DIGITS,
    FIRST_JOB,
    GPU_NODES,
    SMALL,
    TERMINAL,
    WAYS,
    line,
    run_by,
)
from tests.slurm.conftest import until
from tests.slurm.local_slurm import Settings
from tests.slurm.ordinary_user import user_of_a_cluster

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def user():
    with user_of_a_cluster(Settings(nodes=4, cpus=8, gpus=8)) as user:  # no driver is behind the GPUs
        user.write_site_options("--export=NONE  # the variables of the shell do not reach the job\n")
        yield user


def enter(user, command, job=""):
    """Run a printed command with what its entry appends: its output."""
    done = user.shell(line(command, JOBID=job))
    assert done.returncode == WAYS[command].exit_code, done.stdout + done.stderr
    return done.stdout


def until_its_ray_is_up(log, nodes):
    until(lambda: log.exists() and f"all {nodes} nodes have run a task" in log.read_text(), log)


def test_the_first_job_in_five_minutes(user):
    try_out, submit, attach = run_by(FIRST_JOB)
    assert WAYS[try_out].says in enter(user, try_out)
    job = enter(user, submit).split()[1]
    log = user.project / "runs" / "slurm" / f"{job}.log"
    until_its_ray_is_up(log, 2)
    until(lambda: WAYS[attach].says in enter(user, attach, job), log)  # Ray's own status is some seconds old
    state = user.shell(f"ddb status {DIGITS} {SMALL}").stdout
    assert f"job {job}: RUNNING n[1-2]" in state and "stages are done" in state
    table = user.shell(f"ddb table {DIGITS} {SMALL}")  # while the job runs
    assert table.returncode == 0 and "ddb_two_step" in table.stdout, table.stderr
    done = user.slurm.wait(int(job))
    assert (done["JobState"], done["ExitCode"]) == ("COMPLETED", "0:0"), log.read_text()
    assert (user.project / "runs" / "slurm" / f"{job}.0").stat().st_mode & 0o777 == 0o700
    (code,) = (user.project / "runs" / "slurm" / "code").iterdir()
    records = [json.loads(path.read_text()) for path in (user.project / "runs").glob("*/*/record.json")]
    assert records and all(record["git"]["snapshot"] == str(code) for record in records)
    assert f"job {job}: COMPLETED n[1-2]" in user.shell(f"ddb status {DIGITS} {SMALL}").stdout


@pytest.mark.long
@pytest.mark.parametrize("command", run_by(BY_HAND))
def test_a_job_by_hand(user, command):
    """Of an experiment, after the test above: its results are found. Else a look at what it would compute."""
    job = enter(user, command).split()[-1]
    log = user.project / f"ddb-{job}.log"
    done = user.slurm.wait(int(job))
    assert (done["JobState"], done["ExitCode"]) == ("COMPLETED", "0:0"), log.read_text()
    nodes = 2 if "--nodes=2" in command else 1
    assert done["NumNodes"] == str(nodes) and WAYS[command].says in log.read_text()


@pytest.mark.long
def test_an_interactive_allocation(user):
    (command,) = run_by(TERMINAL)
    assert WAYS[command].says in enter(user, command)


@pytest.mark.long
def test_four_nodes_with_gpus(user):
    """The job is queued, started on all that it asks for and shown. No driver is behind the GPUs."""
    try_out, submit, status = run_by(GPU_NODES)
    assert WAYS[try_out].says in enter(user, try_out)
    job = enter(user, submit).split()[1]
    started = user.slurm.wait(int(job), ("RUNNING",))
    assert started["NodeList"] == "n[1-4]" and started["TresPerNode"].endswith("gpu:8")
    state = enter(user, status)
    assert f"job {job}: " in state and " n[1-4]" in state
    user.shell(f"scancel {job}")  # if it has not ended yet
    assert user.slurm.wait(int(job))["JobState"] in ("CANCELLED", "FAILED")
