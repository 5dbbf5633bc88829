"""Recipe II: the weight by hand, its detachment, and what the joint amplifier may see."""

import dataclasses

import numpy as np
import pytest
import torch

from ddb.amplifier import AmplifierSettings, Signals, train_amplifier
from ddb.data import ColoredDigitsConfig, load_dataset
from ddb.data.loading import to_tensor
from ddb.errors import DDBError
from ddb.recipes import end_to_end, get_method
from ddb.recipes.end_to_end import relative_difficulty, weighted_loss
from ddb.recipes.training import Learner, Run

FEW = {"steps": 4, "evaluate_every": 4, "batch_size": 16}
AMPLIFIER = AmplifierSettings(steps=4, evaluate_every=4, batch_size=16)


@pytest.fixture(scope="module")
def train():
    return load_dataset(ColoredDigitsConfig())["train"]


@pytest.fixture(scope="module")
def synthetic(train):
    """Stands for a synthetic set: the training images in another order, so that no row is shared."""
    order = np.random.default_rng(1).permutation(len(train))
    return dataclasses.replace(
        train, images=train.images[order], labels=train.labels[order], paths=[f"s{i}" for i in order]
    )


def test_the_weight_by_hand():
    weight = relative_difficulty(torch.tensor([3.0, 0.0, 1.0, 0.0]), torch.tensor([1.0, 2.0, 1.0, 0.0]))
    torch.testing.assert_close(weight, torch.tensor([0.75, 0.0, 0.5, 0.0]))
    # 0.75 * 1, 0, 0.5 * 1, 0 over four images
    loss = weighted_loss(torch.tensor([3.0, 0.0, 1.0, 0.0]), torch.tensor([1.0, 2.0, 1.0, 0.0]))
    assert loss.item() == pytest.approx(1.25 / 4)


def test_the_gradient_is_r_times_that_of_the_loss():
    """With r in the graph, d(r L)/dL would be r^2 at L_BA = 3, L = 1: 0.5625 instead of 0.75."""
    amplifier_loss = torch.tensor([3.0, 1.0], requires_grad=True)
    target_loss = torch.tensor([1.0, 1.0], requires_grad=True)
    weighted_loss(amplifier_loss, target_loss).backward()
    torch.testing.assert_close(target_loss.grad, torch.tensor([0.75, 0.5]) / 2)
    assert amplifier_loss.grad is None


def test_frozen_signals_that_are_zero_teach_nothing(train):
    """r = 0 for every image: the loss is exactly 0; with an infinite amplifier loss it would be plain ERM."""
    zero = np.zeros(1300, np.float32)
    signals = Signals(list(train.paths), train.labels, train.labels, zero, zero + 1, zero > 0)
    method, run = get_method("ddb_end_to_end"), Run(seed=0, name="ddb_end_to_end")
    method.function(train, signals, method.settings_class(**FEW), run)
    assert run.history[-1]["loss"] == 0


def test_high_amplifier_losses_approach_erm(train):
    high = np.full(1300, 1e9, np.float32)
    signals = Signals(list(train.paths), train.labels, train.labels, high, np.exp(-high), high > 0)
    losses = []
    for name, given in (("ddb_end_to_end", signals), ("erm", None)):
        method, run = get_method(name), Run(seed=0, name="same")
        method.function(train, given, method.settings_class(**FEW), run)
        losses.append(run.history[-1]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.fixture
def amplifiers(monkeypatch):
    """The amplifiers that joint runs make, in order."""
    made = []

    def keep(train, run):
        made.append(original(train, run))
        return made[-1]

    original = end_to_end.joint_amplifier
    monkeypatch.setattr(end_to_end, "joint_amplifier", keep)
    return made


def joint(train, synthetic, **changes):
    name = "ddb_end_to_end_joint"
    method = get_method(name)
    run = Run(seed=0, name=name, synthetic=synthetic, amplifier_settings=AMPLIFIER, **changes)
    return method.function(train, None, method.settings_class(**FEW), run), run


def test_the_joint_amplifier_learns_from_synthetic_images_alone(train, synthetic, amplifiers):
    """Noise in place of the real images changes the target, and not one bit of the amplifier."""
    noise = np.random.default_rng(0).integers(0, 256, train.images.shape, dtype=np.uint8)
    target, _ = joint(train, synthetic)
    other, _ = joint(dataclasses.replace(train, images=noise), synthetic)
    one, two = (amplifier.model.state_dict() for amplifier in amplifiers)
    assert all(torch.equal(one[name], two[name]) for name in one)  # batch-norm statistics included
    assert not torch.equal(next(target.parameters()), next(other.parameters()))
    beforehand, _ = train_amplifier(synthetic, train, AMPLIFIER, Run(seed=0, name="amplifier", stream="amplifier"))
    assert all(torch.equal(one[name], value) for name, value in beforehand.state_dict().items())


def test_real_images_bring_no_gradient_to_the_joint_amplifier(train, synthetic, amplifiers, monkeypatch):
    """Each gradient is that of the amplifier's own synthetic step, before and after the target's step."""
    gradients, original = [], Learner.step

    def step(learner, number):
        before = [p.grad.clone() for p in amplifiers[0].model.parameters()] if amplifiers[0] is not learner else None
        value = original(learner, number)
        if before is not None:
            after = [p.grad for p in amplifiers[0].model.parameters()]
            gradients.append(all(torch.equal(a, b) for a, b in zip(before, after, strict=True)))
        return value

    monkeypatch.setattr(Learner, "step", step)
    joint(train, synthetic)
    assert gradients == [True] * 4


def test_the_joint_amplifier_judges_real_images_at_the_cdpms_resolution(train, synthetic, amplifiers):
    """The target sees 24 pixels, augmented; the amplifier sees the prepared arrays, as it saw synthetic images."""
    seen = []
    method = get_method("ddb_end_to_end_joint")
    run = Run(seed=0, name="joint", synthetic=synthetic, amplifier_settings=AMPLIFIER)

    def watch(module, inputs):
        if not module.training:  # the look at real images
            seen.append(inputs[0])

    original = end_to_end.joint_amplifier

    def joint_amplifier(split, run):
        learner = original(split, run)
        learner.model.register_forward_pre_hook(watch)
        return learner

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(end_to_end, "joint_amplifier", joint_amplifier)
        method.function(train, None, method.settings_class(**FEW | {"image_size": 24, "augment": True}), run)
    known = {image.tobytes() for image in to_tensor(train.images).numpy()}
    assert seen and all(image.tobytes() in known for batch in seen for image in batch.numpy())


def test_the_joint_recipe_needs_its_synthetic_images(train, synthetic):
    assert get_method("ddb_end_to_end_joint").needs_synthetic
    with pytest.raises(DDBError, match="ddb_end_to_end_joint: needs synthetic images"):
        joint(train, None)
    keep = synthetic.labels != 9
    few = dataclasses.replace(synthetic, images=synthetic.images[keep], labels=synthetic.labels[keep])
    with pytest.raises(DDBError, match="no synthetic images of class 9"):
        joint(train, few)
