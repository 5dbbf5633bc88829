import dataclasses

import numpy as np
import pytest

from ddb.data import Split
from ddb.metrics import evaluate

LABELS = np.array([0, 0, 0, 1, 1, 1, 1, 1])
ALIGNED = np.array([True, True, False, True, True, True, False, False])
SPLIT = Split(
    np.zeros((8, 2, 2, 3), np.uint8), LABELS, [str(i) for i in range(8)], (LABELS == ALIGNED)[:, None] * 1, ALIGNED
)
PREDICTED = np.array([0, 1, 0, 1, 1, 1, 0, 1])  # groups: 1/2, 1/1, 3/3, 1/2


def _training(counts):
    labels = np.repeat([0, 0, 1, 1], counts)
    aligned = np.repeat([True, False, True, False], counts)
    number = sum(counts)
    return Split(np.zeros((number, 2, 2, 3), np.uint8), labels, [str(i) for i in range(number)], None, aligned)


def test_hand_worked_accuracies():
    metrics = evaluate(PREDICTED, SPLIT, _training([6, 1, 2, 1]), ("a", "b"))
    assert metrics["average_accuracy"] == 6 / 8
    assert metrics["aligned_accuracy"] == 4 / 5 and metrics["conflicting_accuracy"] == pytest.approx(2 / 3)
    assert metrics["group_accuracy"] == {"a/aligned": 0.5, "a/conflicting": 1, "b/aligned": 1, "b/conflicting": 0.5}
    assert metrics["worst_group_accuracy"] == 0.5
    assert metrics["weighted_average_accuracy"] == pytest.approx((6 * 0.5 + 1 + 2 + 0.5) / 10)


def test_without_bias_labels_only_the_average_is_there():
    unknown = dataclasses.replace(SPLIT, bias=None, aligned=None)
    assert evaluate(PREDICTED, unknown, unknown, ("a", "b")) == {"average_accuracy": 0.75}


def test_a_group_without_images_is_left_out_not_zero():
    chosen = np.flatnonzero(ALIGNED)
    part = Split(SPLIT.images[chosen], LABELS[chosen], list("abcde"), SPLIT.bias[chosen], ALIGNED[chosen])
    metrics = evaluate(PREDICTED[chosen], part, _training([6, 1, 2, 1]), ("a", "b"))
    assert set(metrics["group_accuracy"]) == {"a/aligned", "b/aligned"} and "conflicting_accuracy" not in metrics
    assert metrics["weighted_average_accuracy"] == pytest.approx((6 * 0.5 + 2 * 1) / 8)
