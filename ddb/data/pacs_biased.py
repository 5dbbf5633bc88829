"""Four animals, each tied to a style, selected from PACS (Li et al., ICCV 2017): photos, art, cartoons, sketches.

An align/conflict tree (`ddb.data.align_conflict`). In 600 of the 636 training images the class has its own style, in 36
another style. The validation and test images show every class in every style equally often.
"""

from typing import Literal

from ddb.data.align_conflict import AlignConflictConfig, index

__all__ = ["PLACES", "PUBLISHED", "PacsBiasedConfig", "index"]

PLACES = ("pacs_biased",)
PUBLISHED = {"train": 636, "val": 160, "test": 400}  # images per split


class PacsBiasedConfig(AlignConflictConfig):
    """Settings of the biased selection from PACS."""

    name: Literal["pacs_biased"] = "pacs_biased"  # type: ignore[assignment]  # another data set with the same layout
    attribute: str = "style"
