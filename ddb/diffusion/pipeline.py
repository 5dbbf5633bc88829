"""The CDPM as a diffusers pipeline: saved with `save_pretrained`, loaded back, sampled under guidance.

pipeline = CDPMPipeline.from_pretrained("runs/cdpm/<key>/pipeline")
images = pipeline(labels, generators, SamplingSettings(guidance=3.0))      # (B, H, W, 3) uint8
"""

import numpy as np
import torch
from diffusers import DDPMScheduler, DiffusionPipeline, UNet2DModel
from diffusers.utils.torch_utils import randn_tensor

from ddb.diffusion.samplers import SAMPLERS
from ddb.diffusion.settings import SamplingSettings


class CDPMPipeline(DiffusionPipeline):
    """Class-conditional diffusion model with classifier-free guidance."""

    def __init__(self, unet: UNet2DModel, scheduler: DDPMScheduler):
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)

    @property
    def null_label(self) -> int:
        """The label that means "no class": the last class embedding."""
        return self.unet.config.num_class_embeds - 1

    @property
    def image_shape(self) -> tuple[int, int, int]:
        size = self.unet.config.sample_size
        return (self.unet.config.in_channels, size, size)

    @torch.no_grad()
    def __call__(
        self, labels: torch.Tensor, generators: list[torch.Generator], settings: SamplingSettings
    ) -> np.ndarray:
        """Sample one image per label, (B, H, W, 3) uint8.

        `labels` is (B,) int64; `generators` has one CPU generator per image, which draws its initial noise and
        whatever the sampler draws after that: an image does not depend on the others in its batch.
        """
        sampler = SAMPLERS[settings.sampler]
        schedule = sampler.over(self.scheduler, settings.sampler_steps)
        noise_of_steps = {"generator": generators} if sampler.draws_noise else {}
        labels = labels.to(self.device)
        noise = randn_tensor((len(labels), *self.image_shape), generator=generators, device=self.device)
        x = noise * schedule.init_noise_sigma  # (B, 3, H, W)
        for timestep in schedule.timesteps:
            prediction = self.guided(x, timestep, labels, settings.guidance)
            x = schedule.step(prediction, timestep, x, **noise_of_steps).prev_sample
        pixels = (x.clamp(-1, 1) + 1) * 127.5
        return pixels.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()  # (B, H, W, 3)

    @torch.no_grad()
    def guided(self, x: torch.Tensor, timestep: torch.Tensor, labels: torch.Tensor, guidance: float) -> torch.Tensor:
        """(1 + w) f(x, y) - w f(x, null), on all channels, (B, 3, H, W); both halves in one network batch.

        The prediction f may be noise, v or the clean image: each is linear in the noise at fixed x, so guiding any is
        the same. At w = 0 this is the conditional prediction, and no unconditional pass is run.
        """
        if guidance == 0:
            return self.unet(x, timestep, class_labels=labels).sample
        null = torch.full_like(labels, self.null_label)
        both = self.unet(torch.cat([x, x]), timestep, class_labels=torch.cat([labels, null])).sample  # (2B, 3, H, W)
        conditional, unconditional = both.chunk(2)
        return (1 + guidance) * conditional - guidance * unconditional
