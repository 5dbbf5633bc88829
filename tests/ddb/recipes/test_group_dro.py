"""GroupDRO's group weights, worked by hand."""

import math

import numpy as np
import pytest
import torch

from ddb.data import ColoredDigitsConfig, load_dataset
from ddb.recipes.group_dro import GroupDROLoss, GroupDROSettings, balanced_weights, group_dro
from ddb.training.loop import Batch, Context


def batch(index, losses):
    cross_entropy = torch.tensor(losses, requires_grad=True)
    empty = torch.empty(len(index))
    return Batch(empty, empty, torch.tensor(index), empty, cross_entropy, 1)


def test_two_steps_by_hand_with_an_absent_group():
    """Groups 0, 3 and 5 exist; step size ln 2, so a group's weight doubles for each unit of its loss."""
    loss = GroupDROLoss(np.array([0, 0, 3, 3, 5]), step_size=math.log(2))
    torch.testing.assert_close(loss.group_weights, torch.tensor([1 / 3, 1 / 3, 1 / 3]))

    # Group 0: mean of 1 and 3 is 2, factor 4. Group 3: 1, factor 2. Group 5: 0, factor 1. Sum of (4, 2, 1) is 7.
    one = batch([0, 1, 2, 4], [1.0, 3.0, 1.0, 0.0])
    value = loss(one)
    torch.testing.assert_close(loss.group_weights, torch.tensor([4 / 7, 2 / 7, 1 / 7]))
    assert value.item() == pytest.approx(4 / 7 * 2 + 2 / 7 * 1)
    value.backward()  # each image has its group's weight over the number of its images
    torch.testing.assert_close(one.cross_entropy.grad, torch.tensor([2 / 7, 2 / 7, 2 / 7, 1 / 7]))

    # Group 3 is absent: (4 * 1, 2, 1 * 8) over 14, its weight only rescaled.
    value = loss(batch([0, 4], [0.0, 3.0]))
    torch.testing.assert_close(loss.group_weights, torch.tensor([4 / 14, 2 / 14, 8 / 14]))
    assert value.item() == pytest.approx(8 / 14 * 3)


def test_a_loss_that_would_overflow_gives_all_weight_to_its_group():
    """exp(100) is infinite in float32; in the end the weights are e^100 to e^0, then e^100 to e^200."""
    loss = GroupDROLoss(np.array([0, 1]), step_size=1)
    assert loss(batch([0, 1], [100.0, 0.0])).item() == pytest.approx(100)
    assert loss(batch([0, 1], [0.0, 200.0])).item() == pytest.approx(200)
    torch.testing.assert_close(loss.group_weights, torch.tensor([0.0, 1.0]))


def test_a_group_of_one_image_does_not_fill_its_share_of_every_batch():
    """Of 10, 5 and 1 images, at least 5 asked: the third is drawn a fifth as often as each of the others."""
    group_of = np.repeat([0, 1, 2], [10, 5, 1])
    weights = balanced_weights(group_of, smallest=5)
    shares = np.bincount(group_of, weights)
    assert shares[0] == pytest.approx(shares[1]) and shares[2] == pytest.approx(shares[0] / 5)


def test_small_groups_are_noted():
    train = load_dataset(ColoredDigitsConfig(conflict_ratio=0.02))["train"]  # 2 or 3 of each class conflict
    run = Context(seed=0, name="group_dro")
    group_dro(train, None, GroupDROSettings(steps=1, batch_size=4), run)
    assert run.history[0]["note"] == "10 groups of fewer than 5 images are drawn less often than the others"
