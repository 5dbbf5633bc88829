"""A small experiment on features, computed once without Ray: images, and a network with random weights."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

from ddb.experiment.config_file import resolve
from ddb.experiment.graph import build_graph
from ddb.stages import KINDS
from ddb.stages.kind import Job
from ddb.store import Store

NUMBER = 60


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """Bright and dark images, in folders cat and dog; every tenth image is in the other folder."""
    root, random = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for number in range(NUMBER):
        bright = number % 2
        label = bright if number % 10 else 1 - bright
        path = root / "images" / ("cat", "dog")[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 100, (32, 32, 3)) + 150 * bright
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    torch.manual_seed(0)
    torch.save(models.get_model("mobilenet_v3_small", weights=None).state_dict(), root / "weights.pt")
    return {
        "dataset": {"name": "folder", "root": str(root / "images"), "image_size": 32},
        "features": {"encoder": "mobilenet_v3_small", "weights": str(root / "weights.pt")},
        "amplifier": {"space": "features", "source": "lda", "components": 4, "steps": 5},
        "training": {"network": "linear", "steps": 20, "batch_size": 16},
        "methods": {
            "erm": {},
            "ddb_end_to_end": {"temperature": "fitted"},
            "ddb_two_step": {"network": "small_cnn", "steps": 2},
        },
    }


def compute(graph, store):
    for stage in graph.stages():
        with store.produce(stage) as work:
            if work:
                KINDS[stage.name].compute(Job(stage, store, work, lambda *progress: None, sampling_batch=16))


@pytest.fixture(scope="module")
def finished(values, tmp_path_factory):
    graph, store = build_graph(resolve(values)), Store(tmp_path_factory.mktemp("runs"))
    compute(graph, store)
    return graph, store
