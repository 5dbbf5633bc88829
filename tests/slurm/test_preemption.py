"""Jobs that somebody with a higher priority drives out: they come back, and lose no more than they must.

Every way of SLURM: with and without a grace time, with the script's own signal or SIGTERM, and `scontrol requeue`.
"""

import json

import pytest
import torch

from ddb.store import Store
from tests.ray_jobs.conftest import weights
from tests.slurm.conftest import experiment, log, start_and_end_a_launcher, submitted, until
from tests.slurm.local_slurm import LocalSlurm, Settings
from tests.slurm.test_jobs import locally, stage, training_step

pytestmark = [pytest.mark.slurm, pytest.mark.long]
SCRIPT = ("--nodes=1", "--cpus-per-task=2", "slurm/ddb.sbatch")
CHECKPOINT_EVERY = 100  # steps; so what an interruption saves between two of them is seen


def cluster(directory, user_signal):
    return LocalSlurm(directory, Settings(nodes=1, cpus=2, preemption=True, user_signal=user_signal))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """As SLURM is by default: SIGTERM at the beginning of the grace time, the script's own signal never."""
    with cluster(tmp_path_factory.mktemp("plain"), user_signal=False) as running:
        yield running


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The experiment, and the weights of its CDPM without any disturbance."""
    directory = tmp_path_factory.mktemp("reference")
    path = experiment(directory, cdpm={"steps": 300}, resources={"checkpoint_every": CHECKPOINT_EVERY})
    locally(path, directory / "runs", "ray_jobs.train_cdpm")
    return path, weights(Store(directory / "runs"), stage(path, "cdpm"))


def trained_to(store, path, step, job_log):
    until(lambda: training_step(store, path) >= step, job_log)


def preempt(slurm):
    """Somebody takes the whole node for a moment."""
    slurm.sbatch("--partition=urgent", "--nodes=1", "--cpus-per-task=2", "--output=/dev/null", "--wrap=sleep 3")


def lost_steps(store, path):
    """Steps that were logged twice, since they were taken twice; one is logged in every 20."""
    steps = [json.loads(line)["step"] for line in (store.path(stage(path, "cdpm")) / "losses.jsonl").open()]
    return 20 * (len(steps) - len(set(steps)))


def preempted(slurm, path, directory, partition):
    """A job that is preempted at work, begins again and is cancelled then: its number."""
    job = submitted(slurm, directory, "run", path, batch=(f"--partition={partition}", *SCRIPT))
    job_log = directory / f"{job}.log"
    trained_to(Store(directory / "runs"), path, 60, job_log)
    preempt(slurm)
    until(lambda: slurm.job(job)["Restarts"] == "1", job_log)
    slurm.wait(job, ("RUNNING",))
    until(lambda: log(directory, job).count("starting: ddb run") == 2, job_log)
    slurm.call("scancel", str(job))
    done = slurm.wait(job)
    assert (done["JobState"], done["Restarts"]) == ("CANCELLED", "1")  # by the test, not FAILED by the preemption
    return job


def test_preempted_with_a_grace_time_and_requeued_by_hand(plain, reference, tmp_path):
    path, undisturbed = reference
    store, job = Store(tmp_path / "runs"), submitted(plain, tmp_path, "run", path, batch=("--partition=grace", *SCRIPT))
    job_log = tmp_path / f"{job}.log"
    trained_to(store, path, 60, job_log)
    preempt(plain)
    until(lambda: plain.job(job)["Restarts"] == "1", job_log)
    assert store.interrupted(stage(path, "cdpm")) and log(tmp_path, job).count("requeued, to resume") == 1
    reached = training_step(store, path)

    plain.wait(job, ("RUNNING",))
    trained_to(store, path, reached + 60, job_log)
    plain.call("scontrol", "requeue", str(job))
    done = plain.wait(job)
    assert (done["JobState"], done["ExitCode"], done["Restarts"]) == ("COMPLETED", "0:0", "2"), log(tmp_path, job)
    assert torch.equal(weights(store, stage(path, "cdpm")), undisturbed)
    assert lost_steps(store, path) <= 2 * 20  # the step in hand each time, not a hundred


def test_preempted_without_a_grace_time(plain, reference, tmp_path):
    job = preempted(plain, reference[0], tmp_path, "main")
    assert log(tmp_path, job).count("starting: ddb run") == 2
    start_and_end_a_launcher()


def test_preempted_with_the_scripts_own_signal(reference, tmp_path):
    with cluster(tmp_path / "slurm", user_signal=True) as slurm:
        job = preempted(slurm, reference[0], tmp_path, "grace")
    assert log(tmp_path, job).count("requeued, to resume") == 1
