"""One local Ray on loopback per test session, and a plan that is small enough to run in it."""

import os

import pytest

os.environ.pop("RAY_ADDRESS", None)  # never join a cluster that somebody else runs

from ddb.config_file import resolve
from ddb.experiment import plan
from ray_jobs.cluster import connected

os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.2"  # a checkpoint counts once the controller has polled it

SMALL = {
    "dataset": {"image_size": 8},
    "cdpm": {"channels": [16, 16], "steps": 24, "batch_size": 8, "warmup_steps": 2},
    "sampling": {"images_per_class": 3, "sampler_steps": 3},
    "amplifier": {"steps": 4},
    "training": {"steps": 4},
    "methods": {"erm": {}, "ddb_two_step": {}, "ddb_end_to_end_joint": {}},
    "memorisation": False,
    "resources": {"checkpoint_every": 8, "sampling_batch": 16},
}


def small_plan(**sections):
    """A plan of SMALL with settings of some sections changed."""
    values = {key: dict(value) if isinstance(value, dict) else value for key, value in SMALL.items()}
    for name, change in sections.items():
        values[name] = {**values[name], **change} if name != "methods" and isinstance(change, dict) else change
    return plan(resolve(values))


@pytest.fixture(scope="session")
def capacity():
    with connected(num_cpus=2) as found:
        yield found
