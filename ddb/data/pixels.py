"""Pictures that can be decoded, but whose pixels are likely a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ddb.data.images import depth
from ddb.data.tree import shown
from ddb.lazy import Image

FLAT = 16  # values of 255; a channel that spans fewer shows next to nothing


def is_blank(picture: Image.Image) -> bool:
    """Whether an RGB picture has next to no contrast in any channel."""
    extrema: Any = picture.getextrema()  # of each channel
    return all(highest - lowest < FLAT for lowest, highest in extrema)


def told(root: Path, blank: list[str]) -> list[str]:
    """A line that warns of blank files; none where there are none."""
    if not blank:
        return []
    deep = any(depth(root / path) > 8 for path in blank)
    hint = "; of 16-bit grey the upper 8 bits are used, so scale 10- or 12-bit values up" if deep else ""
    return [f"warning: {len(blank):,} {'image is' if len(blank) == 1 else 'images are'} blank (every channel spans "
            f"fewer than {FLAT} of 256 values), such as {shown(blank[0])}{hint}"]  # fmt: skip
