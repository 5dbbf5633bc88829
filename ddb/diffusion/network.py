"""The CDPM's network: diffusers' UNet2DModel with one class embedding more than there are classes, the null class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddb.diffusion.settings import CDPMSettings
from ddb.lazy import lazy

if TYPE_CHECKING:
    import diffusers
else:
    diffusers = lazy("diffusers")

VERSION = 1  # increase it if the same settings would give another network


def build_unet(settings: CDPMSettings, image_size: int, num_classes: int) -> diffusers.UNet2DModel:
    """UNet for (B, 3, image_size, image_size) images; label `num_classes` is the null class of guidance.

    Raises DDBError where the image cannot be halved as often as `cdpm.channels` asks.
    """
    settings.check_image_size(image_size)
    levels = len(settings.channels)
    attention = [image_size // 2**level in settings.attention_resolutions for level in range(levels)]
    return diffusers.UNet2DModel(
        sample_size=image_size,
        in_channels=3,
        out_channels=3,
        block_out_channels=settings.channels,
        layers_per_block=settings.layers_per_block,
        down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attention),
        up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
        add_attention=any(attention),
        num_class_embeds=num_classes + 1,
        norm_num_groups=8,
        dropout=settings.dropout,
    )
