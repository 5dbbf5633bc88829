"""The benchmark's numbers, and UrbanCars' drops from the in-distribution accuracy, on cases worked by hand."""

import json

import numpy as np
import pytest
import torch

from ddb.data import Split
from ddb.training.metrics import evaluate

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
    assert not [key for key in result if key.endswith("_gap") or key == "id_accuracy"]  # of one attribute
    json.dumps(result, allow_nan=False)
    logits = torch.nn.functional.one_hot(torch.from_numpy(PREDICTED), 2).float()
    assert evaluate(logits, TEST, CLASSES, ATTRIBUTES, TRAIN) == result


def test_numbers_are_absent_without_the_bias_labels_that_they_need():
    blind, blind_train = (Split(each.images, each.labels, each.paths) for each in (TEST, TRAIN))
    assert evaluate(PREDICTED, blind, CLASSES, {}, blind) == {"average_accuracy": 0.75}
    result = evaluate(PREDICTED, TEST, CLASSES, ATTRIBUTES, blind_train)
    assert "weighted_average_accuracy" not in result and result["worst_group_accuracy"] == 0.5


def test_a_kind_without_test_images_is_absent():
    aligned = split([0, 1], [0, 1])
    result = evaluate(np.array([0, 0]), aligned, CLASSES, ATTRIBUTES, TRAIN)
    assert "conflicting_accuracy" not in result and result["worst_group_accuracy"] == 0


# UrbanCars: class, background and co-occurring object.
URBAN = ("urban", "country")
TWO = {"bg": URBAN, "co_occur_obj": URBAN}


def pattern_split(counts):
    """So many images of each (class, background disagrees, object disagrees)."""
    rows = [key for key, number in counts.items() for _ in range(number)]
    labels = np.array([y for y, _, _ in rows])
    disagrees = np.array([[bg, obj] for _, bg, obj in rows], bool)
    bias = np.where(disagrees, 1 - labels[:, None], labels[:, None])
    paths = [str(i) for i in range(len(rows))]
    return Split(None, labels, paths, bias, ~disagrees.any(1), None, disagrees), rows


def test_the_three_gaps_by_hand():
    """Train 90.25 / 4.75 / 4.75 / 0.25 %. Tested: 10 of 10, 8, 6 and 2 of 10 right in each pattern."""
    train, _ = pattern_split(
        {(y, bg, obj): (3610, 190, 190, 10)[bg + 2 * obj] for y in (0, 1) for bg in (0, 1) for obj in (0, 1)}
    )
    test, rows = pattern_split({(y, bg, obj): 5 for y in (0, 1) for bg in (0, 1) for obj in (0, 1)})
    right_of = {(0, 0): 5, (1, 0): 4, (0, 1): 3, (1, 1): 1}  # of the 5 images of each class
    seen, predicted = {}, []
    for y, bg, obj in rows:
        seen[y, bg, obj] = seen.get((y, bg, obj), 0) + 1
        predicted.append(y if seen[y, bg, obj] <= right_of[bg, obj] else 1 - y)
    found = evaluate(np.array(predicted), test, URBAN, TWO, train)
    expected = 0.9025 * 1.0 + 0.0475 * 0.8 + 0.0475 * 0.6 + 0.0025 * 0.2  # 0.9695
    assert found["id_accuracy"] == pytest.approx(expected) == pytest.approx(0.9695)
    assert found["bg_gap"] == pytest.approx(0.9695 - 0.8)  # a drop is positive
    assert found["co_occur_obj_gap"] == pytest.approx(0.9695 - 0.6)
    assert found["bg_co_occur_obj_gap"] == pytest.approx(0.9695 - 0.2)
    assert found["worst_group_accuracy"] == pytest.approx(0.2) and len(found["group_accuracy"]) == 8
    assert found["average_accuracy"] == pytest.approx((1 + 0.8 + 0.6 + 0.2) / 4)


def test_a_pattern_that_is_not_tested_leaves_no_such_accuracy():
    train, _ = pattern_split({(y, bg, 0): 10 for y in (0, 1) for bg in (0, 1)})
    test, _ = pattern_split({(y, 0, 0): 5 for y in (0, 1)})
    found = evaluate(test.labels, test, URBAN, TWO, train)
    assert "id_accuracy" not in found and "bg_gap" not in found and found["average_accuracy"] == 1


def test_a_pattern_is_averaged_over_its_images_and_one_that_training_lacks_has_no_weight_but_a_gap():
    """Agreeing: 8 of 8 urban and 0 of 2 country right, 0.8 and not 0.5. Object disagrees: 1 of 4. Both: 4 of 4."""
    train, _ = pattern_split({(0, 0, 0): 15, (1, 0, 1): 5})  # 0.75 and 0.25
    test, rows = pattern_split({(0, 0, 0): 8, (1, 0, 0): 2, (0, 0, 1): 1, (1, 0, 1): 3, (0, 1, 1): 4})
    found = evaluate(np.zeros(len(rows), np.int64), test, URBAN, TWO, train)
    assert found["id_accuracy"] == pytest.approx(0.75 * 0.8 + 0.25 * 0.25) == pytest.approx(0.6625)
    assert found["co_occur_obj_gap"] == pytest.approx(0.6625 - 0.25) and "bg_gap" not in found
    assert found["bg_co_occur_obj_gap"] == pytest.approx(0.6625 - 1)
