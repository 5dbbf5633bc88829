"""What CONTRIBUTING.md says of a new denoiser: a file and a line in `DENOISERS` are enough."""

import numpy as np
import pytest
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d import UNet2DOutput

from ddb.diffusion import denoisers, synthetic
from ddb.diffusion.denoisers import DENOISERS, Denoiser
from ddb.diffusion.noise_schedules import noise_schedule
from ddb.diffusion.pipeline import CDPMPipeline
from ddb.diffusion.settings import CDPMSettings, SamplingSettings
from ddb.diffusion.train import Hooks, train
from ddb.errors import DDBError


class Linear(ModelMixin, ConfigMixin):
    """Predicts a colour per class, and a share of what it sees."""

    @register_to_config
    def __init__(self, sample_size: int, num_class_embeds: int, in_channels: int = 3):
        super().__init__()
        self.colour = torch.nn.Embedding(num_class_embeds, in_channels)
        self.share = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, timestep, class_labels):
        return UNet2DOutput(sample=self.share * x + self.colour(class_labels)[:, :, None, None])


def check(settings: CDPMSettings, image_size: int) -> None:
    if image_size != 8:
        raise DDBError("cdpm.denoiser: linear takes 8 pixels")


@pytest.fixture
def settings(monkeypatch) -> CDPMSettings:
    build = lambda settings, image_size, classes: Linear(image_size, classes + 1)  # noqa: E731
    monkeypatch.setitem(DENOISERS, "linear", Denoiser(build, check))
    return CDPMSettings(denoiser="linear", prediction_type="sample", steps=200, batch_size=16, learning_rate=0.05)


def test_a_new_denoiser_is_trained_saved_and_sampled(settings, tmp_path):
    """Class 0 is black and class 1 is white; predicting the image, its colour per class is what it samples."""
    labels = np.arange(16) % 2
    images = (labels * 255)[:, None, None, None].astype(np.uint8) * np.ones((1, 8, 8, 3), np.uint8)
    losses = []
    network = train(images, labels, 2, settings, 0, Hooks(lambda step, numbers: losses.append(numbers["loss"])))
    assert losses[-1] < 0.1 * losses[0]
    CDPMPipeline(network, noise_schedule(settings)).save_pretrained(tmp_path / "pipeline")
    pipeline = CDPMPipeline.from_pretrained(tmp_path / "pipeline")
    drawn = synthetic.generate(pipeline, [0, 1], [0, 0], 0, SamplingSettings(guidance=0.0), 2)
    assert drawn[0].mean() < 60 and drawn[1].mean() > 195


def test_it_is_part_of_the_key_and_says_which_images_it_takes(settings):
    assert settings.hashed()["denoiser"] == "linear" and "denoiser" not in CDPMSettings().hashed()
    with pytest.raises(DDBError, match="linear takes 8 pixels"):
        denoisers.build_denoiser(settings, 16, 2)
