"""LfF: GCE, smoothing and class maximum by hand, and its first steps against the paper's formulas written as loops."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ddb.amplifier import Signals
from ddb.backbones import build_network
from ddb.classifier import predict
from ddb.data import ColoredDigitsConfig, Split, load_dataset
from ddb.data.loading import to_tensor
from ddb.errors import DDBError
from ddb.randomness import derive_key
from ddb.recipes import get_method, lff
from ddb.recipes.erm import mean_loss
from ddb.recipes.lff import SmoothedLosses, generalised_cross_entropy, relative_to_class
from ddb.recipes.training import Learner, Run
from ddb.settings import build

SETTINGS = {"batch_size": 8, "optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.01, "evaluate_every": 1}


@pytest.fixture(scope="module")
def train():
    """Twelve images of three classes: with batches of eight, the second goes over the end of the first epoch."""
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    return Split(images, np.arange(12) % 3, [str(i) for i in range(12)])


def signals(train, loss):
    loss = np.array(loss, np.float32)
    return Signals(list(train.paths), train.labels, train.labels, loss, np.exp(-loss), loss > 1)


def trained(name, train, given=None, **settings):
    method, run = get_method(name), Run(seed=0, name=name)
    return method.function(train, given, method.settings_class(**{**SETTINGS, **settings}), run), run


def test_gce_by_hand():
    cross_entropy = -torch.tensor([0.25, 1.0, 0.81]).log()
    torch.testing.assert_close(generalised_cross_entropy(cross_entropy, 0.5), torch.tensor([1.0, 0.0, 0.2]))
    torch.testing.assert_close(generalised_cross_entropy(cross_entropy, 1.0), torch.tensor([0.75, 0.0, 0.19]))
    tiny = torch.tensor([1e-6])  # 1 - p^q in float32 would be off by several percent
    torch.testing.assert_close(generalised_cross_entropy(tiny, 0.7), tiny, rtol=1e-5, atol=0)


def test_the_gradient_of_gce_is_that_of_cross_entropy_times_p_to_the_q():
    logits = torch.tensor([[2.0, 0.5, -1.0], [0.0, 3.0, 1.0]], requires_grad=True)
    labels = torch.tensor([0, 2])
    cross_entropy = F.cross_entropy(logits, labels, reduction="none")
    (plain,) = torch.autograd.grad(cross_entropy.sum(), logits, retain_graph=True)
    (gradient,) = torch.autograd.grad(generalised_cross_entropy(cross_entropy, 0.7).sum(), logits)
    probability = logits.detach().softmax(1)[[0, 1], labels]
    torch.testing.assert_close(gradient, plain * probability[:, None] ** 0.7)


def test_smoothing_by_hand():
    """The first loss is taken whole, even if it is 0; later ones by a quarter; what is not in the batch stays."""
    losses = SmoothedLosses(np.array([0, 0, 1, 1]), ema=0.75)
    losses.update(torch.tensor([0, 2]), torch.tensor([2.0, 0.0], requires_grad=True))
    assert losses.value.tolist() == [2.0, 0.0, 0.0, 0.0] and not losses.value.requires_grad
    losses.update(torch.tensor([2, 0]), torch.tensor([4.0, 4.0]))
    assert losses.value.tolist() == [0.75 * 2 + 0.25 * 4, 0.0, 0.25 * 4, 0.0]
    losses.update(torch.tensor([1]), torch.tensor([8.0]))
    assert losses.value.tolist() == [2.5, 8.0, 1.0, 0.0]


def test_an_image_twice_in_a_batch_enters_once_with_its_mean():
    losses = SmoothedLosses(np.array([0, 0]), ema=0.5)
    losses.update(torch.tensor([1, 1]), torch.tensor([1.0, 3.0]))
    losses.update(torch.tensor([1, 0, 1]), torch.tensor([5.0, 9.0, 7.0]))
    assert losses.value.tolist() == [9.0, 0.5 * 2 + 0.5 * 6]


def test_the_maximum_is_that_of_the_class_over_all_images_seen():
    losses = SmoothedLosses(np.array([0, 1, 0, 1]), ema=0.5)
    losses.update(torch.tensor([0, 1, 2]), torch.tensor([4.0, 10.0, 1.0]))
    assert losses.relative(torch.tensor([2, 1])).tolist() == [0.25, 1.0]  # image 0, the largest, is not asked for
    losses.update(torch.tensor([0]), torch.tensor([0.0]))
    assert losses.relative(torch.tensor([2, 0])).tolist() == [0.5, 1.0]  # 4 became 2


def test_a_class_without_loss_is_zero():
    relative = relative_to_class(torch.tensor([0.0, 3.0, 0.0, 1.5]), torch.tensor([0, 1, 0, 1]))
    assert relative.tolist() == [0.0, 1.0, 0.0, 0.5]


def by_hand(train, steps, amplifier_loss=None, ema=0.7, q=0.7):
    """(weights of the target, loss of each step): LfF as the paper has it, image by image."""
    labels = torch.from_numpy(train.labels)
    draws = Learner(train, mean_loss, get_method("erm").settings_class(**SETTINGS), Run(seed=0, name="erm"))
    networks = [build_network("small_cnn", 3, derive_key(f"init/{name}", 0)).train() for name in ("biased", "target")]
    optimizers = [torch.optim.SGD(n.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01) for n in networks]
    smoothed, found = [{}, {}], []  # of the biased network and the target: image -> loss
    if amplifier_loss is not None:
        smoothed[0] = dict(enumerate(amplifier_loss))
    for step in range(1, steps + 1):
        rows = draws.draw(step).tolist()
        images = to_tensor(train.images[rows])
        probabilities = [network(images).softmax(1)[range(8), labels[rows]] for network in networks]
        for which, probability in enumerate(probabilities):
            if which == 0 and amplifier_loss is not None:
                continue
            entropies = (-probability.log()).tolist()
            for row in set(rows):
                loss = np.mean([value for value, own in zip(entropies, rows, strict=True) if own == row])
                old = smoothed[which].get(row)
                smoothed[which][row] = loss if old is None else ema * old + (1 - ema) * loss
        weights = []
        for row in rows:
            biased, target = (
                own[row] / max(value for other, value in own.items() if labels[other] == labels[row])
                for own in smoothed
            )
            weights.append(biased / (biased + target + 1e-8))
        losses = [
            ((1 - probabilities[0] ** q) / q).mean(),
            (torch.tensor(weights) * -probabilities[1].log()).mean(),
        ]
        for optimizer, loss in zip(optimizers, losses, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        found.append(losses[1].item())
    return networks[1].eval(), found


@pytest.mark.parametrize("name", ["lff", "lff_ddb"])
def test_the_first_steps_are_the_papers(train, name):
    """Two steps show first and second losses of images; the third depends on both networks after an update."""
    loss = None if name == "lff" else np.random.default_rng(1).uniform(0, 3, 12).astype(np.float32)
    expected, losses = by_hand(train, 3, loss)
    model, run = trained(name, train, None if loss is None else signals(train, loss), steps=3)
    assert [entry["loss"] for entry in run.history] == pytest.approx(losses, rel=1e-5)
    torch.testing.assert_close(predict(model, train), predict(expected, train), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("changes", [{"ema": 0.2}, {"q": 0.1}])
def test_its_settings_are_used(train, changes):
    _, losses = by_hand(train, 3, **changes)
    _, run = trained("lff", train, steps=3, **changes)
    assert [entry["loss"] for entry in run.history] == pytest.approx(losses, rel=1e-5)
    assert losses[2] != pytest.approx(by_hand(train, 3)[1][2], rel=1e-4)


def test_an_amplifier_without_losses_teaches_nothing(train):
    _, run = trained("lff_ddb", train, signals(train, np.zeros(12)), steps=2)
    assert [entry["loss"] for entry in run.history] == [0, 0]


def test_the_baseline_needs_nothing_of_the_amplifier():
    needs = [(m.needs_signals, m.needs_groups, m.needs_synthetic) for m in map(get_method, ("lff", "lff_ddb"))]
    assert needs == [(False, False, False), (True, False, False)]


def test_the_plug_in_has_no_biased_network_and_wants_its_own_signals(train):
    with pytest.raises(DDBError, match=r"methods.lff_ddb.q: unknown setting"):
        build(get_method("lff_ddb").settings_class, {"q": 0.7}, "methods.lff_ddb")
    right = signals(train, np.ones(12))
    with pytest.raises(DDBError, match="signals: their 12 rows"):
        trained("lff_ddb", train, dataclasses.replace(right, paths=right.paths[::-1]), steps=1)


def test_a_biased_network_that_diverges_is_named(train, monkeypatch):
    monkeypatch.setattr(lff, "generalised_cross_entropy", lambda cross_entropy, q: cross_entropy * float("nan"))
    with pytest.raises(DDBError, match=r"lff, biased network: the loss is nan at step 1; lower learning_rate"):
        trained("lff", train, steps=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lff", "lff_ddb"])
def test_it_beats_erm_on_conflicting_images(name):
    """Validation images, 150 steps; the plug-in with signals that know which images are conflicting."""
    dataset = load_dataset(ColoredDigitsConfig())
    train, accuracy = dataset["train"], {}
    for own, given in (("erm", None), (name, signals(train, np.where(train.aligned, 0.01, 3.0)))):
        method, run = get_method(own), Run(seed=0, name=own, validation=dataset["val"])
        method.function(train, given, method.settings_class(steps=150, evaluate_every=150), run)
        accuracy[own] = run.history[-1]["val_average"]
    assert accuracy[name] > accuracy["erm"] + 0.03
