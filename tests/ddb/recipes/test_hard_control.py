"""The control's images by hand, and a hardness that no model learned by heart."""

import numpy as np
import pytest

from ddb.data import Split
from ddb.recipes.group_dro import GroupDROSettings, fit_group_dro
from ddb.recipes.hard_control import ControlSettings, control, cross_fitted_loss, hardest
from ddb.signals.table import pseudo_groups
from ddb.training.loop import Context
from tests.ddb.recipes.hand_made import signals


def test_as_many_of_each_class_the_hardest_that_the_amplifier_recognises():
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    loss = np.array([9.0, 0.3, 2.0, 1.0, 5.0, 4.0, 0.1])
    wrong = np.array([True, False, False, True, False, False, True])
    flagged = np.array([True, False, False, False, False, False, True])  # the filter kept one error less
    assert np.flatnonzero(hardest(labels, loss, flagged, wrong)).tolist() == [2, 4]


def test_a_class_with_fewer_ordinary_images_gives_what_it_has():
    labels, wrong = np.zeros(3, int), np.array([True, True, False])
    assert hardest(labels, np.ones(3), wrong, wrong).tolist() == [False, False, True]


@pytest.fixture(scope="module")
def train():
    """20 dark and 20 bright images, of which 3 and 24 carry the other class's label, and one of a third class."""
    labels = np.array([0] * 20 + [1] * 20 + [2])
    shade = np.where(labels == 1, 200, 30)
    shade[[3, 24]] = 230 - shade[[3, 24]]
    random = np.random.default_rng(0)
    images = np.clip(shade[:, None, None, None] + random.integers(-20, 20, (41, 8, 8, 3)), 0, 255).astype(np.uint8)
    return Split(images, labels, [f"{i}.png" for i in range(41)])


def test_the_hardest_images_are_those_that_a_model_of_other_images_gets_wrong(train):
    loss = cross_fitted_loss(train, ControlSettings(steps=120), [Context(0, "a"), Context(0, "a")])
    assert set(np.argsort(-loss[:40])[:2]) == {3, 24} and (loss > 0).all()


def test_it_is_the_recipe_with_other_groups_and_counts_the_steps_of_all(train):
    wrong = np.isin(np.arange(41), [5, 25])
    told, few = [], {"steps": 40, "evaluate_every": 20}
    run = Context(0, "control", progress=lambda step, total, numbers: told.append((step, total)))
    control(train, signals(train, wrong), ControlSettings(**few), run)
    assert told == [(step, 80) for step in range(1, 81)] and ControlSettings(**few).trained_steps == 80
    assert run.history[0]["note"] == "control: 2 hard images in place of 2"
    hard = np.isin(np.arange(41), [3, 24])
    other = Context(0, "group_dro")
    fit_group_dro(train, pseudo_groups(train.labels, hard), GroupDROSettings(**few), other)
    assert run.history[1:] == other.history
