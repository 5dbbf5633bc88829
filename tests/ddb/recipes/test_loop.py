"""The shared training loop: batches by step, selection on validation only, errors that name the setting."""

import dataclasses

import numpy as np
import pytest
import torch

from ddb.data import Split
from ddb.errors import DDBError
from ddb.recipes.registry import METHODS, get_method, method
from ddb.training.classifier import predict
from ddb.training.loop import Context, Learner, TrainingSettings, first_per_class, fit, mean_loss

FEW = TrainingSettings(steps=6, evaluate_every=2, batch_size=16)


def tiny(count):
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return Split(images, np.arange(count) % 2, [str(i) for i in range(count)])


def run(**changes):
    return Context(seed=0, name="erm", **changes)


def test_an_epoch_shows_every_image_once_and_batches_straddle_epochs():
    learner = Learner(tiny(10), mean_loss, TrainingSettings(batch_size=4), run())
    drawn = np.concatenate([learner.draw(number) for number in range(1, 6)])  # 20 draws, two epochs
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert list(drawn[:10]) != list(drawn[10:])


def test_a_batch_is_a_function_of_its_step():
    for weights in (None, np.arange(10.0)):
        settings = TrainingSettings(batch_size=4)
        forward, backward = (Learner(tiny(10), mean_loss, settings, run(), weights) for _ in range(2))
        batches = [forward.draw(number) for number in range(1, 9)]
        for number in reversed(range(1, 9)):
            assert np.array_equal(backward.draw(number), batches[number - 1])


def test_sampling_weights_are_proportions():
    learner = Learner(tiny(4), mean_loss, TrainingSettings(batch_size=1000), run(), np.array([0.0, 1.0, 1.0, 2.0]))
    share = np.bincount(learner.draw(1), minlength=4) / 1000
    assert share[0] == 0 and share[3] == pytest.approx(0.5, abs=0.06)


def test_methods_share_a_stream_and_seeds_and_the_amplifier_have_their_own():
    draws = [
        Learner(tiny(50), mean_loss, FEW, Context(seed, name, stream=stream)).draw(1).tolist()
        for seed, name, stream in [(0, "a", "target"), (0, "b", "target"), (1, "a", "target"), (0, "a", "amplifier")]
    ]
    assert draws[0] == draws[1] and draws[0] != draws[2] and draws[0] != draws[3]


def test_history_and_progress(dataset):
    told = []
    one = run(validation=dataset["val"], progress=lambda step, total, numbers: told.append((step, total, numbers)))
    model = fit(dataset["train"], mean_loss, FEW, one, after_evaluation=lambda step, model: {"extra": -step})
    assert not model.training
    assert [(entry["step"], entry["extra"]) for entry in one.history] == [(2, -2), (4, -4), (6, -6)]
    assert [step for step, _, _ in told] == list(range(1, 7)) and told[0][1] == 6
    learner = Learner(dataset["train"], mean_loss, FEW, run())
    learner.step(1)
    learner.step(2)
    learner.read_losses(2)
    assert one.history[0]["loss"] == pytest.approx(sum(learner.losses) / 2)
    assert "loss" not in told[0][2] and told[1][2]["loss"] == told[2][2]["loss"] == learner.losses[1]  # read after two
    accuracy = (predict(model, dataset["val"].images).argmax(1).numpy() == dataset["val"].labels).mean()
    assert one.history[-1]["val_average"] == accuracy


def test_validation_does_not_touch_the_trajectory(dataset):
    watched = fit(dataset["train"], mean_loss, FEW, run(validation=dataset["val"]))
    blind = fit(dataset["train"], mean_loss, FEW.model_copy(update={"evaluate_every": 6}), run())
    images = dataset["val"].images[:40]
    assert torch.equal(predict(watched, images), predict(blind, images))


@pytest.mark.parametrize("criterion", ["val_average", "val_pseudo_worst_group"])
def test_selection_keeps_the_best_on_validation_and_ties_keep_the_earlier(dataset, criterion, monkeypatch):
    """Validation accuracies are scripted: 0.25, 0.75, 0.75, 0.5. The second must stay."""
    validation = tiny(4)
    script = iter([[1, 0, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [1, 1, 0, 0]])
    states = []

    def scripted(model, images):
        assert images.split is validation  # no other split is ever looked at
        states.append({name: value.clone() for name, value in model.state_dict().items()})
        right = np.array(next(script), bool)
        predicted = np.where(right, validation.labels, 1 - validation.labels)
        return torch.nn.functional.one_hot(torch.from_numpy(predicted), 2).float()

    monkeypatch.setattr("ddb.training.loop.predict", scripted)
    one = run(validation=validation, validation_groups=np.zeros(4, np.int64))
    settings = TrainingSettings(steps=4, evaluate_every=1, batch_size=8, selection=criterion)
    model = fit(dataset["train"], mean_loss, settings, one)
    assert all(torch.equal(value, states[1][name]) for name, value in model.state_dict().items())
    assert one.history[-1] == {"step": 2, "note": f"kept by {criterion}"}


def test_worst_group_is_the_lowest_over_the_groups_given(dataset, monkeypatch):
    validation = dataclasses.replace(tiny(4), labels=np.array([0, 0, 1, 1]))
    logits = torch.tensor([[1.0, 0], [1, 0], [0, 1], [1, 0]])  # right, right, right, wrong
    monkeypatch.setattr("ddb.training.loop.predict", lambda model, images: logits)
    one = run(validation=validation, validation_groups=np.array([0, 7, 7, 5]))
    settings = TrainingSettings(steps=1, batch_size=8, selection="val_worst_group")
    fit(dataset["train"], mean_loss, settings, one)
    assert one.history[0]["val_average"] == 0.75 and one.history[0]["val_worst_group"] == 0


def test_a_criterion_that_cannot_be_computed_is_refused(dataset):
    with pytest.raises(DDBError, match="erm: selection val_average needs validation images"):
        fit(dataset["train"], mean_loss, TrainingSettings(selection="val_average"), run())
    settings = TrainingSettings(selection="val_worst_group")
    with pytest.raises(DDBError, match="erm: selection val_worst_group needs groups"):
        fit(dataset["train"], mean_loss, settings, run(validation=dataset["val"]))


def test_a_loss_that_is_not_finite_names_method_step_and_learning_rate(dataset):
    def loss(batch):
        return batch.cross_entropy.mean() * (float("inf") if batch.step == 3 else 1)

    with pytest.raises(DDBError, match=r"erm: the loss is inf at step 3; lower learning_rate \(it is 0.003\)"):
        fit(dataset["train"], loss, FEW, run())


def test_first_per_class_is_a_prefix(dataset):
    train = dataset["train"]
    five = first_per_class(train, 5)
    assert np.array_equal(np.bincount(five.labels), np.full(10, 5))
    for label in range(10):
        wanted = [path for path, own in zip(train.paths, train.labels, strict=True) if own == label][:5]
        assert [path for path, own in zip(five.paths, five.labels, strict=True) if own == label] == wanted
    assert first_per_class(train, None) is train
    with pytest.raises(DDBError, match="images_per_class: 5000 asked for, but class 0 has only"):
        first_per_class(train, 5000)


def test_methods_by_name():
    kinds = {"needs_signals": [], "needs_groups": [], "needs_synthetic": []}
    for kind, names in kinds.items():
        names += sorted(name for name, each in METHODS.items() if getattr(each, kind))
    recipe_1 = ["ddb_two_step", "ddb_two_step_control", "ddb_two_step_error_set"]
    assert kinds["needs_signals"] == ["ddb_end_to_end", *recipe_1, "jtt_ddb", "lff_ddb"]
    assert kinds["needs_groups"] == ["dfr", "group_dro"] and kinds["needs_synthetic"] == ["ddb_end_to_end_joint"]
    with pytest.raises(DDBError, match="'ddb_two_stp' is unknown; did you mean 'ddb_two_step'"):
        get_method("ddb_two_stp")
    with pytest.raises(ValueError, match="two methods are named 'erm'"):
        method("erm", TrainingSettings)(mean_loss)
