"""Files of every kind that people have: each gives the right pixels, or one line that names it."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ddb.data.images import is_image_name, read_array, read_image
from ddb.errors import DDBError


def pixel(path, x=0, y=0):
    image = read_image(path)
    assert image.mode == "RGB"
    return image.getpixel((x, y))


def test_transparency_is_laid_on_white(tmp_path):
    Image.new("RGBA", (2, 2), (100, 0, 200, 51)).save(tmp_path / "a.png")  # a fifth of it, and four fifths of 255
    assert pixel(tmp_path / "a.png") == (224, 204, 244)
    Image.new("LA", (2, 2), (0, 0)).save(tmp_path / "b.png")
    assert pixel(tmp_path / "b.png") == (255, 255, 255)
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    palette.save(tmp_path / "c.png", transparency=1)
    assert pixel(tmp_path / "c.png") == (255, 255, 255)


def test_palette_grey_and_black_and_white_become_rgb(tmp_path):
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    palette.save(tmp_path / "p.png")
    Image.new("L", (2, 2), 77).save(tmp_path / "l.png")
    Image.new("1", (2, 2), 1).save(tmp_path / "1.png")
    assert pixel(tmp_path / "p.png") == (9, 8, 7)
    assert pixel(tmp_path / "l.png") == (77, 77, 77)
    assert pixel(tmp_path / "1.png") == (255, 255, 255)


def test_sixteen_bits_keep_their_upper_eight(tmp_path):
    Image.fromarray(np.full((2, 2), 0x1234, np.uint16)).save(tmp_path / "a.png")
    assert pixel(tmp_path / "a.png") == (0x12, 0x12, 0x12)


def test_exif_orientation_turns_the_picture_upright(tmp_path):
    """Orientation 6: stored rows are the columns from right to left, so the first stored pixel is at the top right."""
    stored = np.zeros((2, 3, 3), np.uint8)  # 3 wide, 2 high
    stored[0, 0] = 250
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    image = read_image(tmp_path / "a.png")
    assert image.size == (2, 3) and image.getpixel((1, 0)) == (250, 250, 250) and image.getpixel((0, 0)) == (0, 0, 0)


def test_cmyk_and_animations(tmp_path):
    Image.new("CMYK", (8, 8), (0, 0, 0, 255)).save(tmp_path / "a.jpg")
    assert max(pixel(tmp_path / "a.jpg")) < 60
    frames = [Image.new("RGB", (2, 2), color) for color in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert pixel(tmp_path / "a.gif") == (255, 0, 0)


@pytest.mark.parametrize("name", ["two words.png", 'it\'s "q".png', "ünï☃.png", "<script>alert(1)<script>.png"])
def test_any_name_is_fine(tmp_path, picture, name):
    assert pixel(picture(tmp_path / name, 5)) == (5, 5, 5)


def _bomb(path, side=20_000):
    """A valid PNG of side x side grey pixels in some hundred kilobytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side + 1) * 64), 9)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def _truncate(path):
    Image.effect_noise((64, 64), 50).convert("RGB").save(path, "jpeg")
    path.write_bytes(path.read_bytes()[:-400])


BROKEN = {
    "truncated": (_truncate, "broken image"),
    "empty": (lambda path: path.touch(), "an empty file"),
    "text": (lambda path: path.write_text("no picture"), "not an image"),
    "missing": (lambda path: None, "no such file"),
    "bomb": (_bomb, "pixels"),
    "float": (lambda path: Image.new("F", (2, 2), 0.5).save(path, "tiff"), "floating-point grey values"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_read_is_one_line_that_names_the_file(tmp_path, kind):
    path = tmp_path / f"{kind} 'file'.jpg"
    make, message = BROKEN[kind]
    make(path)
    with pytest.raises(DDBError) as error:
        read_image(path)
    assert str(path) in str(error.value) and message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_resizing_is_antialiased(tmp_path):
    """A one-pixel checkerboard shrunk to an eighth is flat grey; picking pixels would give black or white."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).convert("RGB").save(tmp_path / "a.png")
    small = read_array(tmp_path / "a.png", 8)
    assert small.shape == (8, 8, 3) and small.dtype == np.uint8 and (np.abs(small.astype(int) - 127) < 16).all()


def test_what_is_taken_for_an_image():
    assert [is_image_name(name) for name in ("a.JPG", "b.jpeg", "c.txt", ".d.png", "e")] == [
        True,
        True,
        False,
        False,
        False,
    ]
