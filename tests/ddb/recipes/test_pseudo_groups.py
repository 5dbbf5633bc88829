import numpy as np

from ddb.recipes.pseudo_groups import error_set, filtered, pseudo_groups

LABELS = np.array([0, 0, 1, 1, 1])
PREDICTED = np.array([0, 1, 1, 0, 1])
LOSSES = np.array([0.0, 1.0, 0.0, 4.0, 5.0])  # mu = 2, sigma = sqrt(4.4) = 2.098


def test_the_error_set_is_every_misclassified_image():
    assert error_set(PREDICTED, LABELS).tolist() == [False, True, False, True, False]


def test_the_filter_needs_a_mistake_and_a_high_loss():
    assert filtered(PREDICTED, LABELS, LOSSES, 0.9).tolist() == [False, False, False, True, False]  # above 3.888
    assert not filtered(PREDICTED, LABELS, LOSSES, 1.0).any()  # above 4.098; image 4 is right, whatever its loss


def test_pseudo_groups_are_numbered_as_true_groups():
    assert pseudo_groups(LABELS, error_set(PREDICTED, LABELS)).tolist() == [0, 1, 2, 3, 2]
