"""The Bias Amplifier: its training, its signals, their file and their quality."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from ddb.data import ColoredDigitsConfig, Split, load_dataset
from ddb.data.images import read_array
from ddb.errors import DDBError
from ddb.signals import SOURCES
from ddb.signals.amplifier import AmplifierSettings, compute_signals, train_amplifier
from ddb.signals.table import Signals, signal_quality
from ddb.training.classifier import predict
from ddb.training.loop import Context

FEW = AmplifierSettings(steps=6, evaluate_every=2, batch_size=16)


@pytest.fixture(scope="module")
def train():
    return load_dataset(ColoredDigitsConfig())["train"]


def signals(loss, misclassified):
    count = len(loss)
    loss, misclassified = np.array(loss, np.float32), np.array(misclassified)
    labels = np.arange(count) % 2
    predicted = np.where(misclassified, 1 - labels, labels)
    return Signals([f"{i}.png" for i in range(count)], labels, predicted, loss, np.exp(-loss), misclassified)


def test_the_curve_and_the_signals_are_the_models_view_of_the_real_images(train):
    model, curve = train_amplifier(train, train, FEW, Context(seed=0, name="amplifier"))
    logits = predict(model, train.images)
    wrong = logits.argmax(1).numpy() != train.labels
    assert [point["step"] for point in curve] == [2, 4, 6]
    assert curve[-1]["epoch"] == pytest.approx(6 * 16 / 1300)
    assert curve[-1]["errors"] == wrong.sum()
    assert curve[-1]["conflicting_errors"] == (wrong & ~train.aligned).sum()
    assert curve[-1]["conflicting_total"] == (~train.aligned).sum() == 65
    result, probability = compute_signals(model, train), torch.softmax(logits, 1).numpy()
    assert result.paths == train.paths and result.loss.dtype == np.float32
    np.testing.assert_allclose(result.probability, probability[np.arange(1300), train.labels], rtol=1e-4)
    np.testing.assert_allclose(result.loss, -np.log(result.probability), rtol=1e-3, atol=1e-5)
    assert np.array_equal(result.misclassified, wrong)


@pytest.fixture
def photos(tmp_path):
    """Six sharp photographs of 96 pixels, with their arrays at the CDPM's 16."""
    random = np.random.default_rng(0)
    for i in range(6):
        Image.fromarray(random.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    arrays = np.stack([read_array(tmp_path / f"{i}.png", 16) for i in range(6)])
    return Split(arrays, np.arange(6) % 2, [f"{i}.png" for i in range(6)], root=tmp_path)


@pytest.mark.parametrize("source", ["synthetic", "real"])
def test_real_images_are_judged_at_the_resolution_of_synthetic_ones(photos, source):
    """From its file or from its array: one image, one signal. Sharp files are another image to this network."""
    settings = AmplifierSettings(steps=2, batch_size=4, image_size=32, evaluate_every=1, source=source)
    in_memory = dataclasses.replace(photos, root=None)
    trained = []
    for split in (photos, in_memory):
        training = split if source == "real" else in_memory
        trained.append(train_amplifier(training, split, settings, Context(seed=0, name="amplifier")))
    (model, curve), (same, same_curve) = trained
    assert curve == same_curve
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    one, other = (compute_signals(model, split, settings.transform()) for split in (photos, in_memory))
    assert np.array_equal(one.loss, other.loss)
    native = settings.model_copy(update={"resolution": "native"})
    assert not np.array_equal(one.loss, compute_signals(model, photos, native.transform()).loss)


def test_without_interval_and_bias_labels_the_curve_has_a_point_after_every_epoch_without_conflicting_errors(train):
    """The first 100 of each class in batches of 400: epochs end in steps 3, 5 and 8; 9 is the last step."""
    settings = AmplifierSettings(steps=9, batch_size=400, images_per_class=100)
    blind = Split(train.images, train.labels, train.paths)
    curve = SOURCES["synthetic"].function(blind, blind, blind, settings, Context(seed=0, name="amplifier")).curve
    assert [(point["step"], point["epoch"]) for point in curve] == [(3, 1.2), (5, 2.0), (8, 3.2), (9, 3.6)]
    assert curve[0]["conflicting_errors"] is None and curve[0]["conflicting_total"] is None


def test_signals_survive_the_file(tmp_path):
    written = signals([0.25, 3.5, 0.0], [False, True, False])
    written.write(tmp_path / "signals.parquet")
    table = pq.read_table(tmp_path / "signals.parquet")
    assert table.column_names == ["path", "label", "predicted", "loss", "probability", "conflicting"]
    read = Signals.read(tmp_path / "signals.parquet")
    assert read.paths == written.paths
    for name in [field.name for field in dataclasses.fields(Signals) if field.name != "paths"]:
        before, after = getattr(written, name), getattr(read, name)
        assert before is after is None or (np.array_equal(before, after) and before.dtype == after.dtype)
    known = dataclasses.replace(written, log_probabilities=np.log([[0.5, 0.5], [0.1, 0.9], [1, 1]]).astype(np.float32))
    known.write(tmp_path / "signals.parquet")
    assert np.array_equal(Signals.read(tmp_path / "signals.parquet").log_probabilities, known.log_probabilities)
    torch.from_numpy(read.loss)  # a read-only view of Arrow's memory would warn, and could not be written
    with pytest.raises(DDBError, match=r"signals .*nowhere\.parquet cannot be read"):
        Signals.read(tmp_path / "nowhere.parquet")


def test_quality_by_hand():
    # conflicting: rows 0 and 1; error set: rows 0 and 2
    found = signals([4.0, 1.0, 2.0, 0.5], [True, False, True, False])
    quality = signal_quality(found, np.array([False, False, True, True]))
    # pairs (conflicting, aligned) ranked rightly by the loss: 4>2, 4>0.5, 1>0.5 of four
    assert quality == {"precision": 0.5, "recall": 0.5, "auroc": 0.75, "errors": 2, "conflicting": 2}
    clean = signals([0.1, 0.2], [False, False])
    quality = signal_quality(clean, np.array([True, True]))
    assert quality == {"precision": None, "recall": None, "auroc": None, "errors": 0, "conflicting": 0}
