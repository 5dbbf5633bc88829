"""The error set, the filter with mu and sigma by hand, and Recipe I on top of them."""

import dataclasses

import numpy as np
import pytest

from ddb.data import Split, groups
from ddb.errors import DDBError
from ddb.recipes import METHODS, get_method
from ddb.recipes.group_dro import GroupDROSettings, fit_group_dro
from ddb.signals.table import filtered_error_set, pseudo_groups
from ddb.training.loop import Context
from tests.ddb.recipes.hand_made import signals


def test_the_filter_by_hand():
    """Losses 0, 0, 2, 6: mu = 2, sigma = sqrt((4 + 4 + 0 + 16) / 4) = sqrt(6) = 2.449."""
    split = Split(None, np.zeros(4, np.int64), list("abcd"))
    own = signals(split, [False, True, True, True], [0.0, 0.0, 2.0, 6.0])
    assert filtered_error_set(own, 1.0).tolist() == [False, False, False, True]  # 6 > 4.449
    assert filtered_error_set(own, 1.7).tolist() == [False] * 4  # 6 < 6.164
    assert filtered_error_set(own, 0.0).tolist() == [False, False, False, True]  # 2 > 2 is not so
    right = dataclasses.replace(own, misclassified=np.array([False, True, True, False]))
    assert not filtered_error_set(right, 1.0).any()  # a high loss alone is not enough


def test_pseudo_groups_are_numbered_as_the_true_ones(train):
    assert pseudo_groups(np.array([0, 0, 2]), np.array([False, True, True])).tolist() == [0, 1, 5]
    assert np.array_equal(pseudo_groups(train.labels, ~train.aligned), groups(train))


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.needs_signals])
def test_every_method_refuses_signals_of_other_images(train, name):
    right, method = signals(train, ~train.aligned), METHODS[name]
    shifted = dataclasses.replace(right, paths=right.paths[1:] + right.paths[:1])
    with pytest.raises(DDBError, match="signals: their 1300 rows are not the 1300 images of the split"):
        method.function(train, shifted, method.settings_class(steps=1), Context(seed=0, name=name))


@pytest.mark.parametrize("name", ["ddb_two_step", "ddb_two_step_error_set"])
def test_perfect_signals_give_group_dro(train, name):
    """Recipe I is GroupDRO, so with the true groups as pseudo-groups both follow one trajectory."""
    method, run, oracle = get_method(name), Context(seed=0, name=name), Context(seed=0, name=name)
    few = {"steps": 3, "evaluate_every": 1, "batch_size": 32}
    method.function(train, signals(train, ~train.aligned), method.settings_class(**few), run)
    fit_group_dro(train, groups(train), GroupDROSettings(**few), oracle)
    assert run.history == oracle.history


def test_an_empty_error_set_trains_on_the_classes_and_says_so(train):
    method, run = get_method("ddb_two_step"), Context(seed=0, name="ddb_two_step")
    model = method.function(train, signals(train, np.zeros(1300, bool)), method.settings_class(steps=2), run)
    assert run.history[0] == {"step": 0, "note": "no image is taken for conflicting: the groups are the classes"}
    assert not model.training and run.history[-1]["step"] == 2
