"""The safeguard: which candidate is trained, and what it is allowed to lose, with candidates of known accuracy."""

import numpy as np
import pytest
import torch

from ddb.data import Split
from ddb.recipes import METHODS
from ddb.recipes.safeguard import SafeguardSettings, safeguarded
from ddb.training.loop import Context
from tests.ddb.recipes.hand_made import signals

FEW = {"network": "linear", "steps": 30, "batch_size": 16, "learning_rate": 0.05}


@pytest.fixture
def train():
    """Two separable classes of 50 feature vectors: ERM is right on all held-out ones."""
    labels = np.arange(100) % 2
    images = np.stack([labels * 4 - 2, np.random.default_rng(0).normal(size=100)], 1).astype(np.float32)
    return Split(images, labels, [f"{i}" for i in range(100)], aligned=np.arange(100) >= 10)


class Fixed(torch.nn.Module):
    """Wrong on the given share of the images of class 1, which are those with a positive first feature."""

    def __init__(self, share):
        super().__init__()
        self.share, self.weight = share, torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        right = (x[:, 0] > 0).float()
        positive = torch.cumsum(right, 0) * right
        wrong = (positive > 0) & (positive <= round(self.share * float(right.sum())))
        return torch.stack([torch.zeros(len(x)), (right - 0.5) * torch.where(wrong, -1.0, 1.0)], 1)


def decide(train, allowed, shares):
    """The name of the trained candidate; 10 of the 100 images are flagged."""
    trained = []

    def candidate(share):
        def fit(part, given, run):
            trained.append((share, len(part)))
            assert given.paths == part.paths
            return Fixed(share)

        return fit

    run = Context(0, "mine")
    settings = SafeguardSettings(**FEW, safeguard=allowed)
    given = signals(train, np.arange(100) < 10)
    safeguarded(train, given, settings, run, {f"{share}": candidate(share) for share in shares})
    return trained, run.history


def test_the_strongest_candidate_that_loses_little_enough_is_trained_on_all_images(train):
    """Wrong on 40, 20 and 10 % of class 1 loses 0.2, 0.1 and 0.05 of the accuracy; 0.8 * 10 % flagged allows 0.08."""
    trained, history = decide(train, 0.8, (0.4, 0.2, 0.1, 0.0))
    assert trained == [(0.4, 80)] * 5 + [(0.2, 80)] * 5 + [(0.1, 80)] * 5 + [(0.1, 100)]
    assert "safeguard: 0.1; cross-validated accuracy: erm 1.000, 0.4 0.800, 0.2 0.900, 0.1 0.950" in history[0]["note"]
    assert "allowed loss 0.080" in history[0]["note"]


def test_if_every_candidate_loses_too_much_the_result_is_erm(train):
    trained, history = decide(train, 0.8, (0.4, 0.2))
    assert trained == [(0.4, 80)] * 5 + [(0.2, 80)] * 5
    assert history[0]["note"].startswith("safeguard: erm;") and history[-1]["loss"] < 0.2


def test_weights_may_be_selected_on_validation_images(train):
    method = METHODS["ddb_two_step"]
    settings = method.settings_class(**FEW, safeguard=1.0, selection="val_average", evaluate_every=10)
    run = Context(0, "ddb_two_step", validation=train)
    method.function(train, signals(train, np.arange(100) < 10), settings, run)
    assert run.history[0]["note"].startswith("safeguard: ")
    assert any(entry.get("note") == "kept by val_average" for entry in run.history)


def test_the_cost_of_the_safeguard_is_counted():
    """ERM and one candidate, or six temperatures, on five folds, and the chosen one on all images."""
    names = ("ddb_two_step", "ddb_two_step_error_set", "jtt_ddb", "ddb_end_to_end", "lff_ddb")
    steps = [METHODS[name].settings_class(steps=10, safeguard=1).trained_steps for name in names]
    assert steps == [10 * (5 * 2 + 1)] * 3 + [10 * (5 * 7 + 1)] * 2
    assert METHODS["lff_ddb"].settings_class(steps=10).trained_steps == 10


def test_without_a_safeguard_the_first_candidate_is_trained_once(train):
    trained, history = decide(train, None, (0.4, 0.2))
    assert trained == [(0.4, 100)] and history == []


def test_recipe_2_at_a_multiple_of_the_temperature_that_is_harmless(train):
    """Signals that flag images at random: the weights that they give must not cost accuracy."""
    method, steps = METHODS["ddb_end_to_end"], []
    run = Context(0, "ddb_end_to_end", progress=lambda *step: steps.append(step))
    settings = method.settings_class(**FEW, temperature="fitted", safeguard=1.0)
    given = signals(train, np.random.default_rng(0).random(100) < 0.1)
    given = given.with_logits(np.where(given.misclassified[:, None], [[3, 0]], [[0, 3]]))
    method.function(train, given, settings, run)
    assert run.history[0]["note"].startswith("safeguard: temperature x ")
    done = [each[0] for each in steps]
    assert done == sorted(done) and done[-1] == steps[-1][1]
