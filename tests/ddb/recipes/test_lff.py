"""LfF: GCE by hand, and its first steps against the paper's formulas written as loops."""

import numpy as np
import pytest
import torch

from ddb.data import Split
from ddb.data.loading import to_tensor
from ddb.errors import DDBError
from ddb.randomness import derive_key
from ddb.recipes import get_method, lff
from ddb.recipes.lff import generalised_cross_entropy
from ddb.training.classifier import predict
from ddb.training.loop import Context, Learner, mean_loss
from ddb.training.networks import build_network
from tests.ddb.recipes import hand_made
from tests.ddb.recipes.hand_made import signals

SETTINGS = {"batch_size": 8, "optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.01, "evaluate_every": 1}


@pytest.fixture(scope="module")
def train():
    """Twelve images of three classes: with batches of eight, the second goes over the end of the first epoch."""
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    return Split(images, np.arange(12) % 3, [str(i) for i in range(12)])


def trained(name, train, given=None, **settings):
    return hand_made.trained(name, train, given, **(SETTINGS | settings))


def test_gce_by_hand():
    cross_entropy = -torch.tensor([0.25, 1.0, 0.81]).log()
    torch.testing.assert_close(generalised_cross_entropy(cross_entropy, 0.5), torch.tensor([1.0, 0.0, 0.2]))
    torch.testing.assert_close(generalised_cross_entropy(cross_entropy, 1.0), torch.tensor([0.75, 0.0, 0.19]))
    tiny = torch.tensor([1e-6])  # 1 - p^q in float32 would be off by several percent
    torch.testing.assert_close(generalised_cross_entropy(tiny, 0.7), tiny, rtol=1e-5, atol=0)


def by_hand(train, steps, amplifier_loss=None, ema=0.7, q=0.7):
    """(weights of the target, loss of each step): LfF as the paper has it, image by image."""
    labels = torch.from_numpy(train.labels)
    draws = Learner(train, mean_loss, get_method("erm").settings_class(**SETTINGS), Context(seed=0, name="erm"))
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


@pytest.mark.parametrize(
    ("name", "changes"), [("lff", {}), ("lff", {"ema": 0.2}), ("lff", {"q": 0.1}), ("lff_ddb", {})]
)
def test_the_first_steps_are_the_papers(train, name, changes):
    """Two steps show first, second and repeated losses of images; the third follows an update of both networks."""
    loss = None if name == "lff" else np.random.default_rng(1).uniform(0, 3, 12).astype(np.float32)
    expected, losses = by_hand(train, 3, loss, **changes)
    model, run = trained(name, train, None if loss is None else signals(train, loss > 1, loss), steps=3, **changes)
    assert [entry["loss"] for entry in run.history] == pytest.approx(losses, rel=1e-5)
    torch.testing.assert_close(predict(model, train), predict(expected, train), rtol=1e-4, atol=1e-5)
    if changes:
        assert losses[2] != pytest.approx(by_hand(train, 3)[1][2], rel=1e-4)


def test_an_amplifier_without_losses_teaches_nothing(train):
    _, run = trained("lff_ddb", train, signals(train, np.zeros(12, bool), np.zeros(12)), steps=2)
    assert [entry["loss"] for entry in run.history] == [0, 0]


def test_a_biased_network_that_diverges_is_named(train, monkeypatch):
    monkeypatch.setattr(lff, "generalised_cross_entropy", lambda cross_entropy, q: cross_entropy * float("nan"))
    with pytest.raises(DDBError, match=r"lff, biased network: the loss is nan at step 1; lower learning_rate"):
        trained("lff", train, steps=1)
