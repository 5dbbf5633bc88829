"""One local Ray on loopback per test session, a graph that is small enough to run in it, and what came of it once."""

import os

import pytest

os.environ.pop("RAY_ADDRESS", None)  # never join a cluster that somebody else runs

from ddb.experiment.config_file import resolve
from ddb.experiment.graph import build_graph
from ddb.store import Store
from ray_jobs.cluster import connected

os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.2"  # a checkpoint counts once the controller has polled it

SMALL = {
    "seeds": [3],
    "dataset": {"image_size": 8},
    "cdpm": {"channels": [16, 16], "steps": 80, "batch_size": 8, "warmup_steps": 2},
    "sampling": {"images_per_class": 3, "sampler_steps": 8},
    "amplifier": {"steps": 4},
    "training": {"steps": 4},
    "methods": {"erm": {}, "ddb_two_step": {}, "ddb_end_to_end_joint": {}},
    "memorisation": False,
    "resources": {"checkpoint_every": 16, "sampling_batch": 16},
}


def small_graph(**sections):
    """A graph of SMALL with settings of some sections changed."""
    values = {key: dict(value) if isinstance(value, dict) else value for key, value in SMALL.items()}
    for name, change in sections.items():
        values[name] = {**values[name], **change} if name != "methods" and isinstance(change, dict) else change
    return build_graph(resolve(values))


def compute(graph, store, capacity, only=None):
    """A run of the graph without a word: its outcome."""
    from ray_jobs.runner import run_graph

    return run_graph(graph, store, capacity, lambda event: None, only)


def stage_of(graph, name):
    """The only, or first, stage of a kind."""
    return next(stage for stage in graph.stages() if stage.name == name)


def weights(store, stage):
    """All weights of a trained CDPM, flat."""
    import torch

    from ddb.diffusion.pipeline import CDPMPipeline

    unet = CDPMPipeline.from_pretrained(store.path(stage) / "pipeline").unet
    return torch.cat([parameter.flatten() for parameter in unet.parameters()])


@pytest.fixture(scope="session")
def capacity():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "ib0")  # as the profile of a cluster may say; the workers inherit it
        with connected(num_cpus=2) as found:
            patch.undo()
            yield found


@pytest.fixture(scope="session")
def finished(tmp_path_factory, capacity):
    """The graph of SMALL and a store in which all of it is computed. Stages may be added to it, none changed."""
    graph, store = small_graph(), Store(tmp_path_factory.mktemp("runs"))
    outcome = compute(graph, store, capacity)
    assert not outcome.failed, outcome.failed
    return graph, store


@pytest.fixture
def on_the_sessions_ray(monkeypatch, capacity):
    """`ddb audit` and `ddb debias` compute on the Ray of these tests."""

    def execute(graph, store, name):
        return len(compute(graph, store, capacity).failed)

    for module in ("audit", "debias"):
        monkeypatch.setattr(f"ray_jobs.{module}.execute", execute)


def lend(finished, root):
    """A store at `root` with the data set, CDPM, images and probe of SMALL, for tests of what is made of them."""
    graph, whole = finished
    store = Store(root)
    for stage in graph.stages():
        if stage.name not in ("amplifier", "classifier", "evaluation"):
            store.path(stage).parent.mkdir()
            store.path(stage).symlink_to(whole.path(stage))
    return store
