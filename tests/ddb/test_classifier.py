import json

import numpy as np
import torch

from ddb.classifier import build_network, load_classifier, predict, save_classifier, to_tensor

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3)).astype(np.uint8)


def test_pixels_map_to_minus_one_and_one():
    tensor = to_tensor(np.array([[[[0, 255, 51]]]], np.uint8))
    assert tensor.shape == (1, 3, 1, 1)
    assert torch.allclose(tensor.flatten(), torch.tensor([-1.0, 1.0, -0.6]))


def test_prediction_does_not_depend_on_the_batch_size():
    model = build_network("small_cnn", 4)
    assert torch.allclose(predict(model, IMAGES, 2), predict(model, IMAGES), atol=1e-6)


def test_saved_classifier_predicts_the_same(tmp_path):
    model = build_network("small_cnn", 2)
    model(to_tensor(IMAGES))  # moves the batch-norm statistics off their start
    save_classifier(tmp_path, model, "small_cnn", ("cat", "dog"))
    assert torch.equal(predict(load_classifier(tmp_path), IMAGES), predict(model, IMAGES))
    assert json.loads((tmp_path / "classifier.json").read_text())["classes"] == ["cat", "dog"]
