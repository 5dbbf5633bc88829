"""Every method: a few steps with every network, from arrays and from files; and a gain with perfect signals."""

import gc
import multiprocessing

import numpy as np
import pytest
import torch
from PIL import Image

from ddb.data import Split
from ddb.randomness import derive_key
from ddb.recipes import METHODS
from ddb.signals.amplifier import AmplifierSettings
from ddb.training.classifier import predict
from ddb.training.loop import Context
from ddb.training.networks import BACKBONES, build_network
from tests.ddb.recipes.hand_made import signals

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


def trained(name, train, run=None, **settings):
    method = METHODS[name]
    run, settings = run or Context(0, name), FEW | settings
    if method.needs_synthetic:
        run.synthetic = made()
        own = {"network": settings.get("network", "small_cnn"), "image_size": settings.get("image_size")}
        run.amplifier_settings = AmplifierSettings(**FEW, **own)
    if method.needs_groups:
        run.validation = run.validation or train
    given = signals(train, ~train.aligned) if method.needs_signals else None
    return method.function(train, given, method.settings_class(**settings), run)


@pytest.mark.parametrize("network", BACKBONES)
def test_every_network_is_trained(network):
    """Two of them at once; that every method trains a network is shown below."""
    train = made()
    model = trained("ddb_end_to_end_joint", train, network=network)
    logits = predict(model, train)
    assert logits.shape == (12, 2) and logits.isfinite().all() and not model.training


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_reads_files_at_another_size_augmented(tmp_path, name):
    """Synthetic images have no files: theirs are enlarged from the arrays."""
    train = made(tmp_path)
    model = trained(name, train, image_size=40, augment=True)
    settings = METHODS[name].settings_class(**FEW, image_size=40)
    assert predict(model, train, settings.transform()).shape == (12, 2)


@pytest.mark.parametrize("name", ["erm", "ddb_end_to_end_joint", "lff"])
def test_loading_processes_change_nothing_and_end_with_their_training(tmp_path, name):
    train, runs = made(tmp_path), [Context(0, name), Context(0, name, workers=2)]
    before = set(multiprocessing.active_children())
    gc.disable()  # what only a later garbage collection ends is idle until then
    try:
        models = [trained(name, train, run, image_size=40, augment=True) for run in runs]
        assert set(multiprocessing.active_children()) == before, models
    finally:
        gc.enable()
    assert runs[0].history[-1]["loss"] == runs[1].history[-1]["loss"]


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_moves_the_fresh_weights_and_repeats_itself(name):
    """All start from the same fresh network (stream target, seed 0); two runs end in the same bits."""
    train = made()
    fresh = build_network("small_cnn", 2, derive_key("init/target", 0)).state_dict()
    first, again = (trained(name, train).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["0.weight"], fresh["0.weight"])  # its first convolution
    assert (first["0.weight"] - fresh["0.weight"]).abs().max() < 0.1  # from there, by two steps


def test_debiasing_with_perfect_signals_beats_erm(dataset):
    """Validation images, 150 steps; the full training has a wider gap."""
    accuracy = {}
    for name in ("erm", "group_dro", "jtt_ddb", "lff_ddb"):
        run = Context(seed=0, name=name, validation=dataset["val"])
        trained(name, dataset["train"], run, steps=150, batch_size=64, evaluate_every=150)
        accuracy[name] = run.history[-1]["val_average"]
    assert min(accuracy[name] for name in accuracy if name != "erm") > accuracy["erm"] + 0.03, accuracy
