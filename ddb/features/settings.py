"""The section `features` of a configuration."""

from typing import Annotated

from pydantic import Field, field_validator

from ddb.settings import NotHashed, Settings, absolute
from ddb.training.pretrained import PRETRAINED


class FeatureSettings(Settings):
    """Which encoder, and which of its layers."""

    encoder: str = Field(
        default="efficientnet_lite0",
        description="efficientnet_lite0 (weights from the extra [lite]), a torchvision network, or timm/NAME",
    )
    weights: Annotated[str, NotHashed()] = Field(  # the key contains the content of the file
        default=PRETRAINED,
        description="pretrained: from the package, or torchvision's or timm's cache; otherwise a file",
    )
    layers: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="final (the input of the encoder's last linear layer) or modules, such as blocks.4, whose output's "
        "mean and standard deviation over space are taken; null: the blocks at 1/4, 1/2 and 3/4 of the depth, and "
        "final. Classifiers see the last of them",
    )

    @field_validator("weights")
    @classmethod
    def _absolute(cls, name: str) -> str:
        return name if name == PRETRAINED else absolute(name)

    @field_validator("layers")
    @classmethod
    def _distinct(cls, layers: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if layers and len(set(layers)) < len(layers):
            raise ValueError("a layer is listed twice")
        return layers
