"""UrbanCars' metrics, worked by hand: in-distribution accuracy and the drops from it."""

import numpy as np
import pytest

from ddb.data import Split
from ddb.metrics import evaluate

CLASSES = ("urban", "country")
ATTRIBUTES = {"bg": CLASSES, "co_occur_obj": CLASSES}


def split(counts):
    """So many images of each (class, background disagrees, object disagrees)."""
    rows = [key for key, number in counts.items() for _ in range(number)]
    labels = np.array([y for y, _, _ in rows])
    disagrees = np.array([[bg, obj] for _, bg, obj in rows], bool)
    bias = np.where(disagrees, 1 - labels[:, None], labels[:, None])
    paths = [str(i) for i in range(len(rows))]
    return Split(None, labels, paths, bias, ~disagrees.any(1), None, disagrees), rows


def test_the_three_gaps_by_hand():
    """Train 90.25 / 4.75 / 4.75 / 0.25 %. Tested: 10 of 10, 8, 6 and 2 of 10 right in each pattern."""
    train, _ = split(
        {(y, bg, obj): (3610, 190, 190, 10)[bg + 2 * obj] for y in (0, 1) for bg in (0, 1) for obj in (0, 1)}
    )
    test, rows = split({(y, bg, obj): 5 for y in (0, 1) for bg in (0, 1) for obj in (0, 1)})
    right_of = {(0, 0): 5, (1, 0): 4, (0, 1): 3, (1, 1): 1}  # of the 5 images of each class
    seen, predicted = {}, []
    for y, bg, obj in rows:
        seen[y, bg, obj] = seen.get((y, bg, obj), 0) + 1
        predicted.append(y if seen[y, bg, obj] <= right_of[bg, obj] else 1 - y)
    found = evaluate(np.array(predicted), test, CLASSES, ATTRIBUTES, train)
    expected = 0.9025 * 1.0 + 0.0475 * 0.8 + 0.0475 * 0.6 + 0.0025 * 0.2  # 0.9695
    assert found["id_accuracy"] == pytest.approx(expected) == pytest.approx(0.9695)
    assert found["bg_gap"] == pytest.approx(0.9695 - 0.8)  # a drop is positive
    assert found["co_occur_obj_gap"] == pytest.approx(0.9695 - 0.6)
    assert found["bg_co_occur_obj_gap"] == pytest.approx(0.9695 - 0.2)
    assert found["worst_group_accuracy"] == pytest.approx(0.2) and len(found["group_accuracy"]) == 8
    assert found["average_accuracy"] == pytest.approx((1 + 0.8 + 0.6 + 0.2) / 4)


def test_a_pattern_that_is_not_tested_leaves_no_such_accuracy():
    train, _ = split({(y, bg, 0): 10 for y in (0, 1) for bg in (0, 1)})
    test, _ = split({(y, 0, 0): 5 for y in (0, 1)})
    found = evaluate(test.labels, test, CLASSES, ATTRIBUTES, train)
    assert "id_accuracy" not in found and "bg_gap" not in found and found["average_accuracy"] == 1
