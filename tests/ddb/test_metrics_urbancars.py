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


def test_a_gain_is_a_negative_gap_and_logits_count_as_their_largest():
    """All agree: 1 of 2 right; background alone disagrees: 2 of 2. Weights 0.9 and 0.1: 0.45 + 0.1 = 0.55."""
    train, _ = split({(0, 0, 0): 9, (0, 1, 0): 1})
    test, _ = split({(0, 0, 0): 2, (0, 1, 0): 2})
    logits = np.array([[2.0, 1.0], [1.0, 2.0], [0.3, 0.1], [5.0, -1.0]])  # right, wrong, right, right
    found = evaluate(logits, test, CLASSES, ATTRIBUTES, train)
    assert found["id_accuracy"] == pytest.approx(0.55) and found["bg_gap"] == pytest.approx(0.55 - 1)
    assert "co_occur_obj_gap" not in found and "bg_co_occur_obj_gap" not in found


def test_a_pattern_is_averaged_over_its_images_not_over_its_classes():
    """Agreeing: 8 urban all right, 2 country all wrong: 0.8, not 0.5. Object disagrees: 1 of 4."""
    train, _ = split({(0, 0, 0): 15, (1, 0, 0): 0, (1, 0, 1): 5})  # 0.75 and 0.25
    test, rows = split({(0, 0, 0): 8, (1, 0, 0): 2, (0, 0, 1): 1, (1, 0, 1): 3})
    found = evaluate(np.zeros(len(rows), np.int64), test, CLASSES, ATTRIBUTES, train)
    assert found["id_accuracy"] == pytest.approx(0.75 * 0.8 + 0.25 * 0.25) == pytest.approx(0.6625)
    assert found["co_occur_obj_gap"] == pytest.approx(0.6625 - 0.25) and "bg_gap" not in found


def test_a_pattern_that_training_lacks_has_no_weight_but_a_gap():
    """Both disagree in no training image: id_accuracy is 0.95 * 1 + 0.05 * 0.5 = 0.975."""
    train, _ = split({(0, 0, 0): 95, (0, 1, 0): 5})
    test, _ = split({(0, 0, 0): 2, (0, 1, 0): 2, (0, 1, 1): 4})
    found = evaluate(np.array([0, 0, 0, 1, 0, 1, 1, 1]), test, CLASSES, ATTRIBUTES, train)
    assert found["id_accuracy"] == pytest.approx(0.975)
    assert found["bg_co_occur_obj_gap"] == pytest.approx(0.975 - 0.25)


def test_one_attribute_has_no_gaps():
    train, _ = split({(y, bg, 0): 5 for y in (0, 1) for bg in (0, 1)})
    one = Split(None, train.labels, train.paths, train.bias[:, :1], train.aligned)
    found = evaluate(one.labels, one, CLASSES, {"bg": CLASSES}, one)
    assert not [key for key in found if key.endswith("_gap") or key == "id_accuracy"]
