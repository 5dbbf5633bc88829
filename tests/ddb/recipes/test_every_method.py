"""Every method with every network: a few steps on images of 32 px, from arrays and from files."""

import gc
import multiprocessing

import numpy as np
import pytest
import torch
from PIL import Image

from ddb.amplifier import AmplifierSettings, Signals
from ddb.backbones import NETWORKS, build_network
from ddb.classifier import predict
from ddb.data import Split
from ddb.randomness import derive_key
from ddb.recipes import METHODS
from ddb.recipes.training import Run

FEW = {"steps": 2, "batch_size": 4, "evaluate_every": 2}


def made(root=None):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(12) % 2
    aligned = np.arange(12) < 8
    paths = [f"{i}.png" for i in range(12)]
    if root:
        for path, image in zip(paths, images, strict=True):
            Image.fromarray(image).save(root / path)
    return Split(images, labels, paths, np.where(aligned, labels, 1 - labels)[:, None], aligned, root)


def signals(train):
    loss = np.where(train.aligned, 0.1, 3.0).astype(np.float32)
    predicted = np.where(train.aligned, train.labels, 1 - train.labels)
    return Signals(train.paths, train.labels, predicted, loss, np.exp(-loss), ~train.aligned)


def trained(name, train, workers=0, **settings):
    method = METHODS[name]
    run = Run(0, name, workers=workers)
    if method.needs_synthetic:
        network = settings.get("network", "small_cnn")
        size = settings.get("image_size")
        run.synthetic = made()
        run.amplifier_settings = AmplifierSettings(**FEW, network=network, image_size=size)
    given = signals(train) if method.needs_signals else None
    return method.function(train, given, method.settings_class(**FEW, **settings), run)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_trains_every_network(name, network):
    train = made()
    model = trained(name, train, network=network)
    logits = predict(model, train)
    assert logits.shape == (12, 2) and logits.isfinite().all() and not model.training


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_reads_files_at_another_size_augmented(tmp_path, name):
    """Synthetic images have no files: theirs are enlarged from the arrays."""
    train = made(tmp_path)
    model = trained(name, train, image_size=40, augment=True)
    settings = METHODS[name].settings_class(**FEW, image_size=40)
    assert predict(model, train, settings.view()).shape == (12, 2)


def test_loading_processes_change_nothing(tmp_path):
    train, found = made(tmp_path), []
    for workers in (0, 2):
        run = Run(0, "erm", workers=workers)
        settings = METHODS["erm"].settings_class(**FEW, image_size=40, augment=True)
        METHODS["erm"].function(train, None, settings, run)
        found.append(run.history[-1]["loss"])
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["erm", "ddb_end_to_end_joint", "lff"])
def test_no_loading_process_outlives_its_training(tmp_path, name):
    before = set(multiprocessing.active_children())
    gc.disable()  # what only a later garbage collection ends is idle until then
    try:
        model = trained(name, made(tmp_path), workers=2, image_size=40)
        assert set(multiprocessing.active_children()) == before, model
    finally:
        gc.enable()


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_moves_the_fresh_weights_and_repeats_itself(name):
    """All start from the same fresh network (stream target, seed 0); two runs end in the same bits."""
    train = made()
    fresh = build_network("small_cnn", 2, derive_key("init/target", 0)).state_dict()
    first, again = (trained(name, train).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["0.weight"], fresh["0.weight"])  # its first convolution
    assert (first["0.weight"] - fresh["0.weight"]).abs().max() < 0.1  # from there, by two steps
