"""Files of every kind that people have: each gives the right pixels, or one line that names it."""

import struct
import warnings
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


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_one_colour_that_stands_for_transparent_is_laid_on_white(tmp_path, mode):
    """PNG's tRNS chunk without a palette: the one colour that it names is transparent, every other opaque."""
    image = Image.new(mode, (2, 1), 9 if mode == "L" else (9, 8, 7))
    image.putpixel((1, 0), 40 if mode == "L" else (40, 40, 40))
    image.save(tmp_path / "a.png", transparency=image.getpixel((0, 0)))
    assert pixel(tmp_path / "a.png") == (255, 255, 255)
    assert pixel(tmp_path / "a.png", 1) == (40, 40, 40)


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_a_transparent_first_frame_is_white(tmp_path, kind):
    frames = [Image.new("RGBA", (2, 2), color) for color in ((255, 0, 0, 0), (0, 0, 255, 255))]
    frames[0].save(tmp_path / f"a.{kind}", save_all=True, append_images=frames[1:], lossless=True)
    assert pixel(tmp_path / f"a.{kind}") == (255, 255, 255)


@pytest.mark.parametrize("value", [0x00FF, 0x0100, 0x8000, 0xFFFF])
def test_sixteen_bits_in_either_byte_order_are_cut_off_never_clipped(tmp_path, value):
    for order in "<>":
        values = np.full((2, 2), value, f"{order}u2")
        mode = "I;16" if order == "<" else "I;16B"
        Image.frombytes(mode, (2, 2), values.tobytes()).save(tmp_path / "a.tif")
        assert pixel(tmp_path / "a.tif") == (value >> 8,) * 3


def test_exif_orientation_of_a_photo(tmp_path):
    """A JPEG of 24 x 16 whose stored top left 8 x 8 is white: upright it is 16 x 24, and white at the top right."""
    stored = np.zeros((16, 24, 3), np.uint8)
    stored[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif, quality=95)
    image = np.asarray(read_image(tmp_path / "a.jpg"))
    assert image.shape == (24, 16, 3)
    assert image[1:7, 9:15].min() > 240 and image[1:7, 1:7].max() < 15 and image[9:].max() < 15


@pytest.mark.parametrize("entry", [(0x0100, 7), (0x010E, 11), (0x011A, 7)], ids=["width", "description", "resolution"])
def test_a_damaged_exif_entry_is_no_traceback(tmp_path, entry):
    """Orientation 6 beside an entry of a type that it cannot have: still the upright picture, or one line."""
    entries = struct.pack(">HHI4s", *entry, 1, b"abcd") + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + entries + struct.pack(">I", 0)
    path = tmp_path / "a.jpg"
    Image.new("RGB", (16, 8), (255, 255, 255)).save(path, exif=exif)
    try:
        assert read_image(path).size == (8, 16)
    except DDBError as error:
        assert str(error).startswith(f"{path}: ") and len(str(error).splitlines()) == 1


def test_cmyk_colours_are_not_inverted(tmp_path):
    """No cyan, full magenta and yellow is red."""
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    red, green, blue = pixel(tmp_path / "a.jpg")
    assert red > 240 and green < 15 and blue < 15


def test_a_bomb_below_pillows_limit_is_refused_before_it_unfolds(tmp_path):
    """121 million pixels: Pillow only warns of those; the file has some kilobytes."""
    _bomb(tmp_path / "a.png", 11_000)
    assert (tmp_path / "a.png").stat().st_size < 200_000
    with warnings.catch_warnings(), pytest.raises(DDBError) as error:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        read_image(tmp_path / "a.png")
    assert str(error.value) == f"{tmp_path}/a.png: 11000 x 11000 pixels; more than 100,000,000 are refused"


FORMATS = {"jpeg": {}, "png": {}, "gif": {}, "bmp": {}, "webp": {"lossless": True}, "tiff": {"compression": "tiff_lzw"}}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_cut_anywhere_is_a_picture_or_one_line_that_names_it(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    noise = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, kind, **FORMATS[kind])
    whole, refused = path.read_bytes(), 0
    for length in range(0, len(whole), 13):
        path.write_bytes(whole[:length])
        try:
            assert read_image(path).mode == "RGB"
        except DDBError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and len(str(error).splitlines()) == 1
    assert refused > len(whole) / 13 / 2


def test_a_folder_named_like_an_image_is_one_line(tmp_path):
    (tmp_path / "a.jpg").mkdir()
    with pytest.raises(DDBError, match=r"a\.jpg: broken image") as error:
        read_image(tmp_path / "a.jpg")
    assert len(str(error.value).splitlines()) == 1
