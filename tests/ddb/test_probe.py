import numpy as np
import pytest
import torch
from torch import nn

from ddb.data import BiasedDataset, Split
from ddb.errors import DDBError
from ddb.probe import alignment


class _Channel(nn.Module):
    """Two classes: whether a channel is bright."""

    def __init__(self, channel):
        super().__init__()
        self.channel, self.weight = channel, nn.Parameter(torch.ones(1))

    def forward(self, images):
        value = images[:, self.channel].mean((1, 2))  # (B,)
        return torch.stack([-value, value], 1)


def _images(classes, bias):
    images = np.zeros((len(classes), 4, 4, 3), np.uint8)
    images[..., 0] = 255 * np.array(classes)[:, None, None]
    images[..., 1] = 255 * np.array(bias)[:, None, None]
    return images


def _split(labels, bias):
    labels, bias = np.array(labels), np.array(bias)
    aligned = bias == 1 - labels  # class 0 goes with value 1
    return Split(_images(labels, bias), labels, [str(i) for i in range(len(labels))], bias[:, None], aligned)


MODELS = {"class": _Channel(0), "bias": _Channel(1)}
DRAWN = Split(_images([0, 0, 1, 0], [1, 0, 0, 0]), np.array([0, 0, 1, 1]), list("abcd"))


def _dataset(train):
    rest = _split([0, 0, 1, 1], [0, 1, 0, 1])
    return BiasedDataset("toy", ("a", "b"), {"colour": ("dark", "bright")}, {"train": train, "val": rest, "test": rest})


def test_shares_by_hand():
    """Labels 0, 0, 1, 1 go with values 1, 1, 0, 0; seen are 1, 0, 0, 0, and classes 0, 0, 1, 0."""
    found = alignment(MODELS, DRAWN, _dataset(_split([0, 1], [1, 0])))
    assert found == {"aligned_share": 3 / 4, "right_class_share": 3 / 4, "images": 4}


def test_without_aligned_training_images_the_other_splits_tell_what_aligned_means():
    found = alignment(MODELS, DRAWN, _dataset(_split([0, 1], [0, 1])))  # conflict_ratio 1
    assert found["aligned_share"] == 3 / 4


def test_a_class_without_an_aligned_image_is_named():
    train = _split([0, 1], [0, 0])
    dataset = BiasedDataset("toy", ("a", "b"), {"colour": ("dark", "bright")}, dict.fromkeys(("train", "val"), train))
    with pytest.raises(DDBError, match="no image of class a follows the bias"):
        alignment(MODELS, DRAWN, dataset)
