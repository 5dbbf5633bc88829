import numpy as np
import pytest
import torch
from torch import nn

from ddb.data import BiasedDataset, Split
from ddb.diffusion.probe import alignment, corrected_share
from ddb.errors import DDBError


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
    assert (found["aligned_share_seen"], found["right_class_share"], found["images"]) == (3 / 4, 3 / 4, 4)
    without_aligned = _dataset(_split([0, 1], [0, 1]))  # conflict_ratio 1: the other splits define what is aligned
    assert alignment(MODELS, DRAWN, without_aligned) == found


def _yes(number, of):
    return np.arange(of) < number


def test_the_errors_of_the_probe_are_taken_off():
    """86 % seen, 95 % of aligned and 20 % of conflicting images taken for aligned: (0.86 - 0.2) / (0.95 - 0.2) = 88 %.

    Wilson: 86 of 100 is 0.7786 to 0.9147, 950 of 1,000 is 0.9347 to 0.9619, 200 of 1,000 is 0.1764 to 0.2259.
    """
    found = corrected_share(_yes(86, 100), _yes(950, 1000), _yes(200, 1000))
    assert found["aligned_share_seen"] == pytest.approx(0.86)
    assert found["aligned_share"] == pytest.approx(0.88)
    assert found["aligned_share_low"] == pytest.approx((0.7786 - 0.2259) / (0.9619 - 0.2259), abs=2e-4)
    assert found["aligned_share_high"] == pytest.approx((0.9147 - 0.1764) / (0.9347 - 0.1764), abs=2e-4)


def test_a_perfect_probe_changes_nothing_and_a_blind_one_is_not_corrected():
    right = corrected_share(_yes(90, 100), _yes(1000, 1000), _yes(0, 1000))
    assert right["aligned_share"] == 0.9
    assert right["aligned_share_low"] < 0.9 < right["aligned_share_high"]
    blind = corrected_share(_yes(90, 100), _yes(50, 100), _yes(50, 100))
    assert blind == {
        "aligned_share": 0.9,
        "aligned_share_seen": 0.9,
        "aligned_share_low": None,
        "aligned_share_high": None,
    }
    nothing = corrected_share(_yes(90, 100), _yes(5, 5), _yes(0, 0))
    assert nothing["aligned_share_low"] is None


def test_a_class_without_an_aligned_image_is_named():
    train = _split([0, 1], [0, 0])
    dataset = BiasedDataset("toy", ("a", "b"), {"colour": ("dark", "bright")}, dict.fromkeys(("train", "val"), train))
    with pytest.raises(DDBError, match="no image of class a follows the bias"):
        alignment(MODELS, DRAWN, dataset)
