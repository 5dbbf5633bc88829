"""Networks by name, images to tensors, logits, and a classifier's way to disk and back."""

import json

import numpy as np
import pytest
import torch

from ddb.data.loading import to_tensor
from ddb.errors import DDBError
from ddb.training.classifier import Description, load_classifier, predict, save_classifier
from ddb.training.loop import TrainingSettings
from ddb.training.networks import build_network


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)


def test_to_tensor_maps_0_to_minus_one_and_255_to_one():
    image = np.zeros((1, 2, 4, 3), np.uint8)
    image[0, 1, 3, 2] = 255
    tensor = to_tensor(image)
    assert tensor.shape == (1, 3, 2, 4) and tensor.dtype == torch.float32
    assert tensor[0, 2, 1, 3] == 1 and (tensor == -1).sum() == 23


def test_prediction_does_not_depend_on_the_batch_and_leaves_the_model_alone(images):
    model = build_network("small_cnn", 5).train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    whole, parts = predict(model, images), predict(model, images, batch_size=2)
    torch.testing.assert_close(whole, parts)
    assert model.training and not whole.requires_grad
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_classifier_comes_back_from_disk(images, tmp_path):
    model = build_network("small_cnn", 3, key=1)
    model.train()(to_tensor(images))  # moves the batch-norm statistics, which must travel too
    save_classifier(tmp_path, model, Description("small_cnn", ("cat", "dog", "owl")))
    loaded = load_classifier(tmp_path)
    assert not loaded.training
    assert torch.equal(predict(loaded, images), predict(model, images))
    description = json.loads((tmp_path / "classifier.json").read_text())
    expected = {"network": "small_cnn", "classes": ["cat", "dog", "owl"], "image_size": None, "inputs": None}
    assert description == expected


def test_a_classifier_of_features_contains_their_scale(tmp_path):
    """Feature 1 is constant and only centred; feature 0 has mean 2 and standard deviation 1."""
    features = np.array([[1, 5], [3, 5]], np.float32)
    model = build_network("linear", 2, key=1, inputs=2)
    model[0].fit(torch.from_numpy(features))
    assert model[0](torch.from_numpy(features)).tolist() == [[-1, 0], [1, 0]]
    settings = TrainingSettings(network="linear")
    save_classifier(tmp_path, model, Description.of(model, settings, ("cat", "dog")))
    assert torch.equal(predict(load_classifier(tmp_path), features), predict(model, features))


def test_errors_name_the_network_and_the_place(tmp_path):
    with pytest.raises(DDBError, match="'small_cn' is unknown; did you mean 'small_cnn'"):
        build_network("small_cn", 2)
    with pytest.raises(DDBError, match=r"no classifier in .*classifier\.json is missing"):
        load_classifier(tmp_path)
