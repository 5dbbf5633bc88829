"""Pictures without contrast are told, with the way out where 16-bit values are the cause."""

import numpy as np
import pytest
from PIL import Image

from ddb.data.images import read_image
from ddb.data.pixels import is_blank, told


def grey(low, high, kind=np.uint8):
    """4 x 4 values from `low` to `high`."""
    return Image.fromarray(np.linspace(low, high, 16).round().astype(kind).reshape(4, 4))


@pytest.mark.parametrize(
    ("low", "high", "blank"),
    [(0, 0, True), (255, 255, True), (0, 15, True), (240, 255, True), (0, 16, False), (0, 255, False)],
)
def test_a_picture_is_blank_below_16_values_of_contrast(low, high, blank):
    assert is_blank(grey(low, high).convert("RGB")) is blank


def test_one_channel_with_contrast_is_enough():
    pixels = np.full((4, 4, 3), 7, np.uint8)
    pixels[0, 0, 2] = 40
    assert not is_blank(Image.fromarray(pixels))


def test_twelve_bits_in_sixteen_are_blank_and_the_line_says_what_to_do(tmp_path):
    grey(0, 4095, np.uint16).save(tmp_path / "12.png")
    grey(0, 65535, np.uint16).save(tmp_path / "16.png")
    grey(9, 9).save(tmp_path / "8.png")
    blank = [name for name in ("12.png", "16.png", "8.png") if is_blank(read_image(tmp_path / name))]
    assert blank == ["12.png", "8.png"]
    assert told(tmp_path, blank) == [
        "warning: 2 images are blank (every channel spans fewer than 16 of 256 values), such as 12.png; of 16-bit grey "
        "the upper 8 bits are used, so scale 10- or 12-bit values up"
    ]
    assert told(tmp_path, ["8.png"]) == [
        "warning: 1 image is blank (every channel spans fewer than 16 of 256 values), such as 8.png"
    ]
    assert told(tmp_path, []) == []
