"""The error set, the filter with mu and sigma by hand, and Recipe I on top of them."""

import dataclasses

import numpy as np
import pytest

from ddb.amplifier import Signals
from ddb.data import ColoredDigitsConfig, groups, load_dataset
from ddb.errors import DDBError
from ddb.recipes import get_method
from ddb.recipes.group_dro import GroupDROSettings, fit_group_dro
from ddb.recipes.pseudo_groups import check_signals, error_set, filtered_error_set, pseudo_groups
from ddb.recipes.training import Run

METHODS = ("ddb_two_step", "ddb_two_step_error_set")


def signals(loss, misclassified, labels=None, paths=None):
    loss, misclassified = np.array(loss, np.float32), np.array(misclassified)
    labels = np.zeros(len(loss), np.int64) if labels is None else labels
    predicted = np.where(misclassified, labels + 1, labels)
    paths = [str(i) for i in range(len(loss))] if paths is None else paths
    return Signals(paths, labels, predicted, loss, np.exp(-loss), misclassified)


@pytest.fixture(scope="module")
def train():
    return load_dataset(ColoredDigitsConfig())["train"]


def of(train, conflicting):
    return signals(np.where(conflicting, 5.0, 0.1), conflicting, train.labels, list(train.paths))


def test_the_error_set_is_every_misclassified_image():
    own = signals([9.0, 1.0, 0.1], [False, True, True])
    assert error_set(own).tolist() == [False, True, True]


def test_the_filter_by_hand():
    """Losses 0, 0, 2, 6: mu = 2, sigma = sqrt((4 + 4 + 0 + 16) / 4) = sqrt(6) = 2.449."""
    own = signals([0.0, 0.0, 2.0, 6.0], [False, True, True, True])
    assert filtered_error_set(own, 1.0).tolist() == [False, False, False, True]  # 6 > 4.449
    assert filtered_error_set(own, 1.7).tolist() == [False] * 4  # 6 < 6.164
    assert filtered_error_set(own, 0.0).tolist() == [False, False, False, True]  # 2 > 2 is not so
    right = dataclasses.replace(own, misclassified=np.array([False, True, True, False]))
    assert not filtered_error_set(right, 1.0).any()  # a high loss alone is not enough


def test_pseudo_groups_are_numbered_as_the_true_ones(train):
    assert pseudo_groups(np.array([0, 0, 2]), np.array([False, True, True])).tolist() == [0, 1, 5]
    assert np.array_equal(pseudo_groups(train.labels, ~train.aligned), groups(train))


def test_signals_of_other_images_are_refused(train):
    right = of(train, ~train.aligned)
    check_signals(right, train)
    shifted = dataclasses.replace(right, paths=right.paths[1:] + right.paths[:1])
    with pytest.raises(DDBError, match="signals: their 1300 rows are not the 1300 images of the split"):
        check_signals(shifted, train)
    for name in (*METHODS, "ddb_end_to_end"):
        method = get_method(name)
        with pytest.raises(DDBError, match="signals"):
            method.function(train, shifted, method.settings_class(steps=1), Run(seed=0, name=name))


@pytest.mark.parametrize("name", METHODS)
def test_perfect_signals_give_group_dro(train, name):
    """Recipe I is GroupDRO, so with the true groups as pseudo-groups both follow one trajectory."""
    method, run, oracle = get_method(name), Run(seed=0, name=name), Run(seed=0, name=name)
    few = {"steps": 3, "evaluate_every": 1, "batch_size": 32}
    method.function(train, of(train, ~train.aligned), method.settings_class(**few), run)
    fit_group_dro(train, groups(train), GroupDROSettings(**few), oracle)
    assert run.history == oracle.history


@pytest.mark.parametrize("name", METHODS)
def test_an_empty_error_set_trains_on_the_classes_and_says_so(train, name):
    method, run = get_method(name), Run(seed=0, name=name)
    model = method.function(train, of(train, np.zeros(1300, bool)), method.settings_class(steps=2), run)
    assert run.history[0] == {"step": 0, "note": "no image is taken for conflicting: the groups are the classes"}
    assert not model.training and run.history[-1]["step"] == 2
