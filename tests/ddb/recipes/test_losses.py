import math

import pytest
import torch

from ddb.recipes.losses import GroupDROLoss, relative_difficulty


def test_group_dro_weights_and_loss_as_worked_by_hand():
    dro = GroupDROLoss(torch.tensor([True, True, False]), step_size=0.5)
    losses = torch.tensor([1.0, 3.0, 1.0], requires_grad=True)
    loss = dro(losses, torch.tensor([0, 0, 1]))  # group losses 2 and 1
    a, b = math.exp(1.0), math.exp(0.5)
    assert dro.weights.tolist() == pytest.approx([a / (a + b), b / (a + b), 0])
    assert loss.item() == pytest.approx((2 * a + b) / (a + b))
    loss.backward()
    assert losses.grad.tolist() == pytest.approx([a / (a + b) / 2, a / (a + b) / 2, b / (a + b)])
    assert losses.tolist() == [1, 3, 1]


def test_an_absent_group_takes_no_step():
    dro = GroupDROLoss(torch.tensor([True, True]), step_size=1.0)
    dro(torch.tensor([math.log(3.0)]), torch.tensor([0]))  # 3 : 1 after renormalising
    assert dro.weights.tolist() == pytest.approx([0.75, 0.25])


def test_relative_difficulty_is_the_amplifiers_share_and_carries_no_gradient():
    amplifier, target = torch.tensor([3.0, 0.0]), torch.tensor([1.0, 2.0], requires_grad=True)
    weight = relative_difficulty(amplifier, target)
    assert weight.tolist() == pytest.approx([0.75, 0.0])
    (weight * target).mean().backward()
    assert target.grad.tolist() == pytest.approx([0.375, 0.0])


def test_relative_difficulty_of_two_perfect_models_is_finite():
    assert relative_difficulty(torch.zeros(1), torch.zeros(1)).item() == 0
