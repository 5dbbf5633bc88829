"""A classifier of features that is taken away gives the predictions of the stage it comes from."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ddb.data import prepared
from ddb.errors import DDBError
from ddb.features import table
from ddb.features.classifier import FeatureClassifier, export
from ddb.training.classifier import predict


def test_it_predicts_from_image_files_what_the_stage_predicts_from_features(finished, values, tmp_path):
    graph, store = finished
    stage = next(cell.classifier for cell in graph.cells if cell.method == "erm")
    features = stage.inputs["features"]
    export(store.path(stage), features.config, values["features"]["weights"], tmp_path)
    classifier = FeatureClassifier.load(tmp_path)
    dataset = prepared.read(store.path(graph.data))
    test = table.with_features(dataset, store.path(features))["test"]
    pictures = [Image.open(test.root / path).convert("RGB") for path in test.paths]
    expected = torch.softmax(predict(classifier.head, test), 1).numpy()
    assert classifier.classes == ("cat", "dog") and classifier.encoder.layers == ("final",)
    assert np.allclose(classifier(pictures), expected, atol=1e-4)


def test_other_weights_than_those_of_the_training_are_refused(finished, values, tmp_path):
    graph, store = finished
    stage = next(cell.classifier for cell in graph.cells if cell.method == "erm")
    export(store.path(stage), stage.inputs["features"].config, values["features"]["weights"], tmp_path)
    encoder = json.loads((tmp_path / "encoder.json").read_text())
    (tmp_path / "encoder.json").write_text(json.dumps(encoder | {"sha256": "0" * 64}))
    with pytest.raises(DDBError, match="has other weights than those that the classifier was trained with"):
        FeatureClassifier.load(tmp_path)
    with pytest.raises(DDBError, match=r"encoder\.json is missing"):
        FeatureClassifier.load(tmp_path / "nowhere")
