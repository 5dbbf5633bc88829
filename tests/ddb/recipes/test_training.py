import numpy as np
import pytest
import torch

from ddb.classifier import predict
from ddb.data import Split, groups, load_dataset
from ddb.data.colored_digits import ColoredDigitsConfig
from ddb.errors import DDBError
from ddb.metrics import evaluate
from ddb.recipes.losses import GroupDROLoss
from ddb.recipes.training import TrainingSettings, draw_indices, fit


def _mean(batch):
    return batch.cross_entropy.mean()


def test_an_epoch_sees_every_image_once_and_epochs_differ():
    drawn = np.concatenate([draw_indices(step, 0, 10, 4, None) for step in range(5)])  # two epochs of ten
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert not np.array_equal(drawn[:10], drawn[10:])


def test_weighted_draws_follow_the_weights_and_the_step():
    weights = np.array([0.0, 1.0, 3.0])
    drawn = np.concatenate([draw_indices(step, 0, 3, 100, weights) for step in range(40)])
    assert np.bincount(drawn, minlength=3) / 4000 == pytest.approx([0, 0.25, 0.75], abs=0.03)
    assert np.array_equal(draw_indices(3, 0, 3, 100, weights), drawn[300:400])


def test_one_seed_one_classifier_whatever_ran_before():
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3)).astype(np.uint8)
    train = Split(images, np.arange(20) % 2, [str(i) for i in range(20)])
    settings = TrainingSettings(steps=3, batch_size=4)
    first = predict(fit(train, _mean, settings, 0), images)
    torch.rand(7)
    assert torch.equal(first, predict(fit(train, _mean, settings, 0), images))
    assert not torch.equal(first, predict(fit(train, _mean, settings, 1), images))


def test_a_diverging_loss_names_the_setting():
    train = Split(np.zeros((4, 8, 8, 3), np.uint8), np.arange(4) % 2, list("abcd"))
    with pytest.raises(DDBError, match="learning_rate"):
        fit(train, lambda batch: batch.cross_entropy.mean() * float("nan"), TrainingSettings(steps=1, batch_size=4), 0)


@pytest.mark.slow
def test_erm_takes_the_shortcut_and_group_dro_with_true_groups_does_not():
    dataset = load_dataset(ColoredDigitsConfig())
    train, val = dataset["train"], dataset["val"]
    member = torch.from_numpy(groups(train))
    dro = GroupDROLoss(torch.bincount(member, minlength=20) > 0, step_size=0.01)
    balanced = 1 / np.bincount(member)[member]
    settings = TrainingSettings(steps=300)
    models = {
        "erm": fit(train, _mean, settings, 0),
        "group_dro": fit(train, lambda b: dro(b.cross_entropy, member[b.index]), settings, 0, balanced),
    }
    scores = {}
    for name, model in models.items():
        scores[name] = evaluate(predict(model, val.images).argmax(1).numpy(), val, train, dataset.classes)
    assert scores["erm"]["aligned_accuracy"] > 0.98
    assert scores["erm"]["conflicting_accuracy"] < 0.8
    assert scores["group_dro"]["conflicting_accuracy"] > scores["erm"]["conflicting_accuracy"] + 0.05
