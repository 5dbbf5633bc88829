"""diffusers' UNet2DModel with one class embedding more than there are classes, the null class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddb.errors import DDBError
from ddb.lazy import diffusers

if TYPE_CHECKING:
    from ddb.diffusion.settings import CDPMSettings


def check(settings: CDPMSettings, image_size: int) -> None:
    """Raise DDBError if images of `image_size` pixels cannot be halved as often as `channels` asks."""
    factor = 2 ** (len(settings.channels) - 1)
    if image_size % factor:
        raise DDBError(f"cdpm.channels: {len(settings.channels)} resolutions need images divisible by {factor} "
                       f"pixels, these have {image_size}")  # fmt: skip


def build(settings: CDPMSettings, image_size: int, num_classes: int) -> diffusers.UNet2DModel:
    """UNet for (B, 3, image_size, image_size) images of `num_classes` classes."""
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
