import pytest
import torch
from torch import nn

from ddb import speed
from ddb.diffusion.settings import CDPMSettings


def test_operations_by_hand():
    """A 3 x 3 convolution from 3 to 8 channels on 4 x 4 pixels: 2 * 9 * 3 * 8 * 16 operations."""
    assert speed._operations(nn.Conv2d(3, 8, 3, padding=1), 4) == 2 * 9 * 3 * 8 * 16


def test_the_share_of_the_limit_by_hand():
    """100 images per second of 2e9 operations are 0.2 Tera-operations, a tenth of 2."""
    assert speed._row("part", 100, 2e9, limit=2)["share_of_limit"] == pytest.approx(0.1)


def test_training_and_sampling_are_measured_on_any_device():
    settings = CDPMSettings(channels=(16, 16), steps=40, batch_size=4, engine="ddp")
    cpu = torch.device("cpu")
    trained, forward = speed.train_cdpm(settings, 8, cpu)
    drawn, same = speed.sample(settings, 8, 4, cpu)
    assert forward == same > 0
    assert trained > 0 and drawn > 0
