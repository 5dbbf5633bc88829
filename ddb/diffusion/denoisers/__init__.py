"""The networks of the CDPM, one file each. A new one is a file with `check` and `build`, and one line in `DENOISERS`.

A denoiser is a diffusers ModelMixin that is called as `network(x, timestep, class_labels=labels).sample`. Its `config`
has `sample_size`, `in_channels` and `num_class_embeds`: one more than there are classes, the last meaning "no class".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ddb.diffusion.denoisers import unet

if TYPE_CHECKING:
    from ddb.diffusion.settings import CDPMSettings


@dataclass(frozen=True)
class Denoiser:
    """How a network is built from the section `cdpm`."""

    build: Callable[[CDPMSettings, int, int], Any]  # (settings, image size, number of classes)
    check: Callable[[CDPMSettings, int], None]  # (settings, image size); raises DDBError if they do not go together
    version: int = 1  # increase it if the same settings would give another network


DENOISERS = {"unet": Denoiser(unet.build, unet.check)}


def build_denoiser(settings: CDPMSettings, image_size: int, num_classes: int) -> Any:
    """The network for (B, 3, image_size, image_size) images; label `num_classes` is the null class of guidance.

    Raises DDBError if the image size does not fit the settings.
    """
    denoiser = DENOISERS[settings.denoiser]
    denoiser.check(settings, image_size)
    return denoiser.build(settings, image_size, num_classes)
