"""An experiment on features: what its stages contain, their keys, resumption, and settings that are refused."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from ddb.data import prepared
from ddb.errors import DDBError
from ddb.experiment.config_file import resolve
from ddb.experiment.graph import build_graph
from ddb.features import table
from ddb.signals.table import Signals
from ddb.stages import KINDS
from ddb.stages.kind import Job
from ddb.store import Store
from ddb.training.classifier import load_classifier, predict


def test_features_of_every_image_are_computed_once(finished):
    graph, store = finished
    (stage,) = (stage for stage in graph.stages() if stage.name == "features")
    dataset = prepared.read(store.path(graph.data))
    names = table.layers(store.path(stage))
    assert names == ["features.3", "features.6", "features.9", "final"]
    train = pq.read_table(store.path(stage) / "train.parquet")
    assert train["path"].to_pylist() == dataset["train"].paths
    assert train["label"].to_pylist() == dataset["train"].labels.tolist()
    seen = table.with_features(dataset, store.path(stage), "features.6")
    assert seen["train"].images.shape == (len(dataset["train"]), 2 * 40)


def test_signals_from_features_find_the_images_in_the_wrong_folder(finished):
    graph, store = finished
    stage = next(run.stage for run in graph.amplifiers.values() if run.source == "lda")
    signals = Signals.read(store.path(stage) / "signals.parquet")
    wrong = np.array([int(path.split("/")[-1].split(".")[0]) % 10 == 0 for path in signals.paths])
    assert (signals.misclassified == wrong).all()


def test_a_classifier_of_features_and_one_of_pixels_share_the_signals(finished):
    graph, store = finished
    cells = {cell.method: cell for cell in graph.cells}
    heads, pixels = cells["ddb_end_to_end"].classifier, cells["ddb_two_step"].classifier
    assert heads.inputs["amplifier"].key == pixels.inputs["amplifier"].key
    assert "features" in heads.inputs and "features" not in pixels.inputs
    dataset = prepared.read(store.path(graph.data))
    seen = table.with_features(dataset, store.path(heads.inputs["features"]))
    assert predict(load_classifier(store.path(heads)), seen["test"]).shape == (len(dataset["test"]), 2)
    assert predict(load_classifier(store.path(pixels)), dataset["test"]).shape == (len(dataset["test"]), 2)


def test_the_memorisation_curve_exists_on_features_too(finished):
    graph, store = finished
    stage = next(run.stage for run in graph.amplifiers.values() if run.source == "real")
    assert stage.config["amplifier"]["network"] == "linear"
    assert json.loads((store.path(stage) / "curve.json").read_text())[-1]["step"] == 5


def test_the_key_contains_the_content_of_the_weights_and_not_their_place(values, tmp_path):
    def key(name, change=0.0):
        state = torch.load(values["features"]["weights"], weights_only=True)
        state["classifier.3.bias"] = state["classifier.3.bias"] + change
        torch.save(state, tmp_path / name)
        graph = build_graph(resolve(values | {"features": values["features"] | {"weights": str(tmp_path / name)}}))
        return graph.cells[0].stage.inputs["features"].key

    (tmp_path / "folder").mkdir()
    assert key("weights.pt") == key("folder/weights.pt") != key("other.pt", 1.0)


def test_an_interrupted_encoding_resumes_with_the_parts_it_has(finished, values, tmp_path, monkeypatch):
    graph, _ = finished
    store, calls = Store(tmp_path), []
    stages = graph.stages("features")

    def stop(step, total, numbers):
        calls.append(step)
        if len(calls) == 2:
            raise KeyboardInterrupt

    for report in (stop, lambda step, total, numbers: calls.append(step)):
        try:
            for stage in stages:
                with store.produce(stage) as work:
                    report_of = report if stage.name == "features" else lambda *progress: None
                    if work:
                        KINDS[stage.name].compute(Job(stage, store, work, report_of, sampling_batch=16))
        except KeyboardInterrupt:
            continue
    assert calls == [16, 32, 48, 60]
    first, second = (
        table.with_features(prepared.read(each.path(graph.data)), each.path(stages[-1]))["train"].images
        for each in (finished[1], store)
    )
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amplifier": {"layer": "final"}}, "amplifier: layer needs space features"),
        ({"amplifier": {"space": "features", "source": "synthetic"}}, "source synthetic works in space pixels only"),
        ({"amplifier": {"network": "mlp"}}, "network mlp takes features, but space is pixels"),
        ({"training": {"network": "linear", "augment": True}}, "network linear takes features: image_size and augment"),
        ({"features": {"layers": ["final", "final"]}}, "a layer is listed twice"),
        (
            {"features": {"layers": ["final"]}, "amplifier": {"space": "features", "source": "lda", "layer": "finla"}},
            "amplifier.layer: did you mean 'final'",
        ),
        ({"methods": {"ddb_end_to_end": {"temperature": 0}}}, "temperature.*must be above 0 or 'fitted'"),
        ({"methods": {"ddb_two_step_control": {"safeguard": 1}}}, "the control is never replaced by another method"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(values, changes, message):
    with pytest.raises(DDBError, match=message):
        build_graph(resolve({"dataset": values["dataset"], "methods": {"ddb_two_step": {}}} | changes))


def test_a_missing_encoder_is_reported_before_any_work(values, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    graph = build_graph(resolve(values | {"features": {"encoder": "resnet18"}}))
    assert "the weights of resnet18 are not in torchvision's cache" in graph.lacks_data(graph.cells[0].stage)
