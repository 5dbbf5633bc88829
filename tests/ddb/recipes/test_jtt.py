"""JTT: the identification model and its error set, how often that is drawn, and the amplifier's in its place."""

import numpy as np
import pytest
import torch

from ddb.data.loading import ImageTransform
from ddb.recipes.jtt import JttSettings, identification_errors
from ddb.training import loop as training
from ddb.training.classifier import predict
from ddb.training.loop import Context, Learner, TrainingSettings, fit, mean_loss
from tests.ddb.recipes import hand_made
from tests.ddb.recipes.hand_made import signals

FEW = {"steps": 4, "evaluate_every": 2, "batch_size": 16}


@pytest.fixture
def learners(monkeypatch):
    """Every network that is trained, in order."""
    made = []

    class Kept(Learner):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(training, "Learner", Kept)
    return made


def trained(name, train, given=None, run=None, **settings):
    return hand_made.trained(name, train, given, run, **FEW, **settings)


def same(one, two):
    one, two = one.state_dict(), two.state_dict()
    return all(torch.equal(one[name], two[name]) for name in one)


def test_the_error_set_is_drawn_so_many_times_as_often(train, learners):
    """Three of 1,300 images wrong and upweight 7: 3 * 7 + 1297 = 1318 shares."""
    wrong = np.isin(np.arange(1300), [0, 5, 1299])
    _, run = trained("jtt_ddb", train, signals(train, wrong), upweight=7)
    (target,) = learners
    np.testing.assert_allclose(target.probability[wrong], 7 / 1318)
    np.testing.assert_allclose(target.probability[~wrong], 1 / 1318)
    assert target.context.stream == "target"
    assert run.history[0] == {"step": 0, "note": "error set: 3 of 1300 training images"}


def test_the_error_set_is_that_of_erm_with_its_own_stream(train):
    """At 24 px, where other images come out wrong than at the 16 of the arrays."""
    settings = JttSettings(steps=1, identification_steps=15, batch_size=16, image_size=24)
    errors = identification_errors(train, settings, Context(seed=0, name="jtt"))
    plain = TrainingSettings(steps=15, batch_size=16, image_size=24)
    model = fit(train, mean_loss, plain, Context(seed=0, name="erm", stream="identification"))
    wrong = [
        predict(model, train, view).argmax(1).numpy() != train.labels for view in (ImageTransform(24), ImageTransform())
    ]
    assert np.array_equal(errors, wrong[0]) and not np.array_equal(*wrong)
    assert 0 < errors.sum() < 1300


def test_the_identification_model_is_trained_as_the_target_unless_told_otherwise(dataset, learners):
    """It is given no validation images."""
    train, validation = dataset["train"], dataset["val"].take(np.arange(40))
    run = Context(seed=0, name="jtt", validation=validation)
    common = {"identification_steps": 3, "learning_rate": 2e-3, "weight_decay": 0.3}
    trained("jtt", train, run=run, **common, selection="val_average")
    own = {"identification_learning_rate": 1e-5, "identification_weight_decay": 0}
    trained("jtt", train, **common, **own)
    used = [(each.optimizer.defaults["lr"], each.optimizer.defaults["weight_decay"]) for each in learners]
    assert used == [(2e-3, 0.3), (2e-3, 0.3), (1e-5, 0), (2e-3, 0.3)]
    streams = [(each.context.stream, each.settings.steps, each.probability is None) for each in learners]
    assert streams == [("identification", 3, True), ("target", 4, False)] * 2
    first, target = learners[:2]
    assert first.context.validation is None and first.settings.selection == "last"
    assert target.context.validation is validation and target.settings.selection == "val_average"


def test_history_is_that_of_the_target_and_progress_counts_the_steps_of_both(train):
    told = []
    run = Context(seed=0, name="jtt", progress=lambda step, total, numbers: told.append((step, total)))
    trained("jtt", train, run=run, identification_steps=6)
    assert run.history[0]["note"].startswith("error set: ")
    assert [entry["step"] for entry in run.history] == [0, 2, 4]
    assert told == [(step, 10) for step in range(1, 11)]


def test_an_empty_error_set_is_erm_and_says_so(train):
    model, run = trained("jtt_ddb", train, signals(train, np.zeros(1300, bool)))
    plain, erm = trained("erm", train)
    assert run.history[0] == {"step": 0, "note": "the error set is empty: no image is upweighted"}
    assert same(model, plain) and run.history[1:] == erm.history


def test_with_one_error_set_both_are_one_method(train):
    """To the bit: what the identification model drew leaves no trace in the target."""
    errors = identification_errors(train, JttSettings(**FEW, identification_steps=5), Context(seed=0, name="jtt"))
    baseline, run = trained("jtt", train, identification_steps=5, upweight=9)
    plug_in, other = trained("jtt_ddb", train, signals(train, errors), upweight=9)
    assert same(baseline, plug_in) and run.history == other.history
    assert not same(baseline, trained("jtt_ddb", train, signals(train, ~errors), upweight=9)[0])
