"""AFR and DFR: their weights and subsets by hand, and that they help where ERM follows a shortcut."""

import numpy as np
import pytest
import torch

from ddb.data import Split
from ddb.errors import DDBError
from ddb.recipes import METHODS
from ddb.recipes.afr import afr_weights
from ddb.recipes.dfr import balanced_rows
from ddb.recipes.last_layer import embeddings
from ddb.training.classifier import predict
from ddb.training.loop import Context
from ddb.training.networks import last_layer

FEW = {"network": "linear", "steps": 40, "batch_size": 32, "learning_rate": 0.01}


def shortcut(number, conflicting, seed):
    """Feature 0 is the shortcut, with no noise; feature 1 shows the class, with noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(number) % 2
    aligned = random.random(number) >= conflicting
    sign = 2 * labels - 1
    features = np.stack([np.where(aligned, sign, -sign), sign + 0.5 * random.normal(size=number)], 1)
    paths = [f"{seed}/{i}" for i in range(number)]
    return Split(features.astype(np.float32), labels, paths, aligned=aligned)


def test_afr_weights_by_hand():
    """Classes of 2 and 1 images; gamma = log 4, so that exp(-gamma p) is 1/2, 1/4 and 1/2 at p = 0.5, 1 and 0.5."""
    probabilities = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]])
    found = afr_weights(probabilities, torch.tensor([0, 0, 1]), np.log(4))
    assert found.tolist() == pytest.approx([0.25 / 0.875, 0.125 / 0.875, 0.5 / 0.875])


def test_balanced_rows_have_as_many_of_each_group_as_the_smallest_has():
    group = np.array([0, 0, 0, 3, 3, 5])
    rows = balanced_rows(group, np.random.default_rng(0))
    assert sorted(group[rows]) == [0, 3, 5] and len(set(rows)) == 3


def test_embeddings_are_the_inputs_of_the_last_layer():
    model = METHODS["erm"].function(shortcut(64, 0.1, 0), None, METHODS["erm"].settings_class(**FEW), Context(0, "erm"))
    split = shortcut(5, 0.5, 1)
    x = embeddings(model, split, METHODS["erm"].settings_class(**FEW).transform())
    torch.testing.assert_close(x @ last_layer(model).weight.T + last_layer(model).bias, predict(model, split))


@pytest.mark.parametrize("name", ["afr", "dfr"])
def test_the_last_layer_uses_the_shortcut_less_than_that_of_erm(name):
    train, val, test = shortcut(600, 0.05, 0), shortcut(200, 0.5, 1), shortcut(400, 0.5, 2)
    right = {}
    for each in ("erm", name):
        run = Context(0, each, validation=val)
        model = METHODS[each].function(train, None, METHODS[each].settings_class(**FEW), run)
        right[each] = (predict(model, test).argmax(1).numpy() == test.labels)[~test.aligned].mean()
    assert right[name] > right["erm"] + 0.2


def test_dfr_needs_bias_labels_and_every_class():
    only_0 = shortcut(9, 0.5, 1).take(np.arange(0, 9, 2))
    for validation, message in ((None, "needs validation images with bias labels"), (only_0, "images of class 1")):
        run = Context(0, "dfr", validation=validation)
        with pytest.raises(DDBError, match=f"dfr: .*{message}"):
            METHODS["dfr"].function(shortcut(64, 0.1, 0), None, METHODS["dfr"].settings_class(**FEW), run)


def test_afr_reports_a_learning_rate_that_is_too_high():
    settings = METHODS["afr"].settings_class(**FEW, last_layer_rate=1e30, penalty=1e9)
    with pytest.raises(DDBError, match="afr: the loss of the last layer is not finite; lower last_layer_rate"):
        METHODS["afr"].function(shortcut(64, 0.1, 0), None, settings, Context(0, "afr"))
