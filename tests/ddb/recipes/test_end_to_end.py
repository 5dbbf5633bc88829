"""Recipe II: the loss and its gradient by hand, and which images the joint amplifier learns from."""

import dataclasses

import numpy as np
import pytest
import torch

from ddb.data.loading import to_tensor
from ddb.errors import DDBError
from ddb.recipes import end_to_end, get_method
from ddb.recipes.end_to_end import weighted_loss
from ddb.signals.amplifier import AmplifierSettings, train_amplifier
from ddb.training.loop import Context
from tests.ddb.recipes.hand_made import signals

FEW = {"steps": 4, "evaluate_every": 4, "batch_size": 16}
AMPLIFIER = AmplifierSettings(steps=4, evaluate_every=4, batch_size=16)


@pytest.fixture(scope="module")
def synthetic(train):
    """Stands for a synthetic set: the training images in another order, so that no row is shared."""
    order = np.random.default_rng(1).permutation(len(train))
    return dataclasses.replace(train.take(order), paths=[f"s{i}" for i in order])


def test_the_loss_and_its_gradient_by_hand():
    """The weights r are constants: in the graph, d(r L)/dL would be r^2 at L_BA = 3, L = 1, 0.5625 instead of 0.75."""
    amplifier_loss = torch.tensor([3.0, 0.0, 1.0, 0.0], requires_grad=True)
    target_loss = torch.tensor([1.0, 2.0, 1.0, 0.0], requires_grad=True)
    loss = weighted_loss(amplifier_loss, target_loss)
    assert loss.item() == pytest.approx((0.75 * 1 + 0 * 2 + 0.5 * 1 + 0) / 4)
    loss.backward()
    torch.testing.assert_close(target_loss.grad, torch.tensor([0.75, 0.0, 0.5, 0.0]) / 4)
    assert amplifier_loss.grad is None


def test_amplifier_losses_of_zero_give_a_loss_of_zero_and_high_ones_approach_erm(train):
    losses = []
    for name, given in (("ddb_end_to_end", 0), ("ddb_end_to_end", 1e9), ("erm", None)):
        method, run = get_method(name), Context(seed=0, name="same")
        own = None if given is None else signals(train, np.zeros(1300, bool), np.full(1300, given))
        method.function(train, own, method.settings_class(**FEW), run)
        losses.append(run.history[-1]["loss"])
    assert losses[0] == 0 and losses[1] == pytest.approx(losses[2], rel=1e-4)


@pytest.fixture
def amplifiers(monkeypatch):
    """The amplifiers that joint runs make, in order; `judged` lists the batches that each one judges."""
    made, original = [], end_to_end.joint_amplifier

    def keep(train, run):
        amplifier = original(train, run)
        amplifier.judged = []

        def watch(module, inputs):
            if not module.training:
                amplifier.judged.append(inputs[0])

        amplifier.model.register_forward_pre_hook(watch)
        made.append(amplifier)
        return amplifier

    monkeypatch.setattr(end_to_end, "joint_amplifier", keep)
    return made


def joint(train, synthetic, **settings):
    method = get_method("ddb_end_to_end_joint")
    run = Context(seed=0, name=method.name, synthetic=synthetic, amplifier_settings=AMPLIFIER)
    return method.function(train, None, method.settings_class(**FEW, **settings), run)


def test_the_joint_amplifier_learns_from_synthetic_images_alone(train, synthetic, amplifiers):
    """Noise in place of the real images changes the target, and not one bit of the amplifier."""
    noise = np.random.default_rng(0).integers(0, 256, train.images.shape, dtype=np.uint8)
    target = joint(train, synthetic)
    other = joint(dataclasses.replace(train, images=noise), synthetic)
    one, two = (amplifier.model.state_dict() for amplifier in amplifiers)
    assert all(torch.equal(one[name], two[name]) for name in one)  # batch-norm statistics included
    assert not torch.equal(next(target.parameters()), next(other.parameters()))
    beforehand, _ = train_amplifier(synthetic, train, AMPLIFIER, Context(seed=0, name="amplifier", stream="amplifier"))
    assert all(torch.equal(one[name], value) for name, value in beforehand.state_dict().items())


def test_the_joint_amplifier_judges_real_images_at_the_cdpms_resolution(train, synthetic, amplifiers):
    """The target is given 24 pixels, augmented; the amplifier the prepared arrays, as for synthetic images."""
    joint(train, synthetic, image_size=24, augment=True)
    known = {image.tobytes() for image in to_tensor(train.images).numpy()}
    judged = amplifiers[0].judged
    assert judged and all(image.tobytes() in known for batch in judged for image in batch.numpy())


def test_the_joint_recipe_needs_its_synthetic_images(train, synthetic):
    with pytest.raises(DDBError, match="ddb_end_to_end_joint: needs synthetic images"):
        joint(train, None)
    with pytest.raises(DDBError, match="no synthetic images of class 9"):
        joint(train, synthetic.take(np.flatnonzero(synthetic.labels != 9)))
