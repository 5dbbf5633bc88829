"""The benchmark's numbers on a case worked by hand."""

import json

import numpy as np
import pytest
import torch

from ddb.data import Split
from ddb.metrics import evaluate

CLASSES = ("land", "water")
ATTRIBUTES = {"place": ("forest", "lake")}


def split(labels, bias):
    labels, bias = np.array(labels), np.array(bias)
    images = np.zeros((len(labels), 8, 8, 3), np.uint8)
    return Split(images, labels, [str(i) for i in range(len(labels))], bias[:, None], labels == bias)


# Test groups: land/forest 4 images, land/lake 2, water/lake 2, water/forest none.
TEST = split([0, 0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1])
PREDICTED = np.array([0, 0, 0, 1, 1, 0, 1, 1])  # right: 3 of 4, 1 of 2, 2 of 2
# Training groups: land/forest 6, land/lake 1, water/lake 2, water/forest 1.
TRAIN = split([0] * 7 + [1] * 3, [0] * 6 + [1] + [1, 1, 0])


def test_every_number_by_hand():
    result = evaluate(PREDICTED, TEST, CLASSES, ATTRIBUTES, TRAIN)
    assert result["average_accuracy"] == 6 / 8
    assert result["aligned_accuracy"] == 5 / 6
    assert result["conflicting_accuracy"] == 1 / 2
    assert result["worst_group_accuracy"] == 1 / 2
    assert result["group_accuracy"] == {"land/aligned": 0.75, "land/conflicting": 0.5, "water/aligned": 1.0}
    # training shares 6 : 1 : 2 of the groups that the test split has
    assert result["weighted_average_accuracy"] == pytest.approx((6 * 0.75 + 1 * 0.5 + 2 * 1.0) / 9)
    assert result["class_bias_accuracy"] == {"place": [[0.75, 0.5], [None, 1.0]]}
    json.dumps(result, allow_nan=False)


def test_logits_and_predictions_mean_the_same():
    logits = torch.nn.functional.one_hot(torch.from_numpy(PREDICTED), 2).float()
    assert evaluate(logits, TEST, CLASSES, ATTRIBUTES, TRAIN) == evaluate(PREDICTED, TEST, CLASSES, ATTRIBUTES, TRAIN)


def test_group_numbers_are_absent_without_bias_labels():
    blind = Split(TEST.images, TEST.labels, TEST.paths)
    assert evaluate(PREDICTED, blind, CLASSES, {}, blind) == {"average_accuracy": 0.75}


def test_the_training_weighted_average_is_absent_where_training_groups_are_unknown():
    blind = Split(TRAIN.images, TRAIN.labels, TRAIN.paths)
    result = evaluate(PREDICTED, TEST, CLASSES, ATTRIBUTES, blind)
    assert "weighted_average_accuracy" not in result and result["worst_group_accuracy"] == 0.5


def test_a_kind_without_test_images_is_absent():
    aligned = split([0, 1], [0, 1])
    result = evaluate(np.array([0, 0]), aligned, CLASSES, ATTRIBUTES, TRAIN)
    assert "conflicting_accuracy" not in result and result["worst_group_accuracy"] == 0
