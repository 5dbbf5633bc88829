"""What keeps a GPU busy, as far as a CPU can show it: nothing waits for numbers, bf16, schedules, frozen backbones."""

import re
import shutil

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ddb.data import Split
from ddb.diffusion.settings import CDPMSettings
from ddb.diffusion.train import LOG_EVERY, Hooks, train
from ddb.errors import DDBError
from ddb.recipes import get_method
from ddb.settings import build
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.registry import SOURCES
from ddb.signals.table import Signals
from ddb.training.classifier import predict
from ddb.training.loop import LOSSES_EVERY, Context, Learner, TrainingSettings, fit, learning_rate, mean_loss

WAITING = "_local_scalar_dense|nonzero|bincount|masked_select|_unique|equal"  # of a CPU for a GPU


class Waiting(TorchDispatchMode):
    """Counts operations for which a CPU would wait for a GPU; an index that is a mask is one."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        index = args[1] if name.startswith("index") and isinstance(args[1], (list, tuple)) else []
        masks = any(each is not None and each.dtype == torch.bool for each in index)
        if masks or re.fullmatch(WAITING, name):
            self.found.append(name)
        return function(*args, **(kwargs or {}))


def digits(dataset):
    return dataset["train"].take(np.arange(200))


def waits(run):
    """What `run(progress)` waits for from the second step to the last before losses are read."""
    seen = {}
    with Waiting() as waiting:
        run(lambda step, total, numbers: seen.setdefault(step, list(waiting.found)))
    return seen[LOSSES_EVERY - 1][len(seen[1]) :]


def test_the_count_sees_what_would_wait():
    with Waiting() as waiting:
        x = torch.arange(4.0)
        x.sum().item()
        x[x > 1]
        torch.bincount(torch.arange(3))
    assert waiting.found == ["_local_scalar_dense", "index", "bincount"]


@pytest.mark.parametrize("name", ["erm", "group_dro", "lff", "lff_ddb", "ddb_two_step", "ddb_end_to_end"])
def test_no_step_of_a_method_waits_for_numbers(name, dataset):
    split, method = digits(dataset), get_method(name)
    settings = method.settings_class(steps=LOSSES_EVERY + 1, batch_size=16)
    logits = np.random.default_rng(0).normal(size=(len(split), 10)).astype(np.float32)
    signals = Signals.of_logits(logits, split) if method.needs_signals else None
    assert waits(lambda told: method.function(split, signals, settings, Context(0, name, progress=told))) == []


@pytest.mark.parametrize("name", ["gce", "xrm", "cross_fit"])
def test_no_step_of_a_source_waits_for_numbers(name, dataset):
    split = digits(dataset)
    settings = AmplifierSettings(source=name, steps=LOSSES_EVERY + 1, evaluate_every=10**6, batch_size=16)
    context = Context(0, name, stream="amplifier")

    def run(told):
        context.progress = told
        SOURCES[name].function(split, split, None, settings, context)

    assert waits(run) == []


@pytest.mark.parametrize("engine", ["ddp", "deepspeed"])
def test_no_step_of_a_cdpm_waits_for_numbers(engine):
    images, labels = np.zeros((8, 8, 8, 3), np.uint8), np.arange(8) % 2
    settings = CDPMSettings(channels=(16,), steps=LOG_EVERY - 1, batch_size=4, engine=engine)
    seen = []
    with Waiting() as waiting:
        hooks = Hooks(interrupted=lambda: seen.append(list(waiting.found)) or False)
        train(images, labels, 2, settings, 0, hooks)
    assert seen[-2][len(seen[0]) :] == []


def test_rates_of_the_schedules_by_hand():
    rate = lambda step, **more: learning_rate(TrainingSettings(steps=100, learning_rate=0.8, **more), step)  # noqa: E731
    assert [rate(step) for step in (1, 100)] == [0.8, 0.8]
    assert [rate(step, schedule="cosine") for step in (1, 51, 101, 150)] == pytest.approx([0.8, 0.4, 0, 0])
    drops = [rate(step, schedule="step", decay_every=30, decay=0.5) for step in (1, 30, 31, 61)]
    assert drops == pytest.approx([0.8, 0.8, 0.4, 0.2])


def test_a_schedule_reaches_the_optimizer(dataset):
    settings = TrainingSettings(steps=4, batch_size=8, schedule="step", decay_every=2, evaluate_every=4)
    learner = Learner(digits(dataset), mean_loss, settings, Context(0, "erm"))
    rates = []
    for step in range(1, 5):
        learner.step(step)
        rates.append(learner.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([3e-3, 3e-3, 3e-4, 3e-4])


@pytest.mark.parametrize("values, said", [
    ({"schedule": "step"}, "schedule step needs decay_every"),
    ({"decay_every": 5}, "decay_every needs schedule step"),
    ({"frozen": True}, "frozen: small_cnn has no backbone"),
])  # fmt: skip
def test_settings_that_do_not_go_together_are_refused(values, said):
    with pytest.raises(DDBError, match=said):
        build(TrainingSettings, values, "training")


def test_keys_are_as_before_where_nothing_new_is_asked_for():
    new = {"schedule", "decay_every", "decay", "frozen", "precision", "compile"}
    assert not new & TrainingSettings().hashed().keys()
    assert TrainingSettings(precision="bf16").hashed()["precision"] == "bf16"


def test_a_frozen_backbone_keeps_weights_and_statistics_and_its_head_learns():
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    split = Split(images, np.arange(12) % 2, [str(i) for i in range(12)])
    settings = TrainingSettings(network="resnet18", frozen=True, steps=3, batch_size=4)
    before = Learner(split, mean_loss, settings, Context(0, "erm")).model.state_dict()
    after = fit(split, mean_loss, settings, Context(0, "erm")).state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"backbone.fc.weight", "backbone.fc.bias"}


def accuracy(model, split):
    return float((predict(model, split).argmax(1).numpy() == split.labels).mean())


@pytest.mark.long
def test_bf16_reaches_the_accuracy_of_fp32_over_three_seeds(dataset):
    """Within 4 points on average; the weights stay fp32, and the training is another one."""
    differences = []
    for seed in range(3):
        settings = [TrainingSettings(steps=150, evaluate_every=150, precision=each) for each in ("fp32", "bf16")]
        fp32, bf16 = (fit(dataset["train"], mean_loss, each, Context(seed, "erm")) for each in settings)
        assert {value.dtype for value in bf16.parameters()} == {torch.float32}
        images = dataset["test"].images[:50]
        assert not torch.equal(predict(fp32, images), predict(bf16, images))
        differences.append(accuracy(bf16, dataset["test"]) - accuracy(fp32, dataset["test"]))
    assert abs(np.mean(differences)) < 0.04


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_trains_as_the_same_network(dataset):
    settings = [TrainingSettings(steps=10, evaluate_every=10, batch_size=16, compile=each) for each in (False, True)]
    plain, compiled = (fit(digits(dataset), mean_loss, each, Context(0, "erm")) for each in settings)
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    for name, value in plain.state_dict().items():
        assert torch.allclose(value.float(), compiled.state_dict()[name].float(), atol=2e-2), name
