"""Files of every kind that people have: each gives the right pixels, or one line that names it."""

import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from ddb.data.images import EXTENSIONS, is_image_name, metadata_is_damaged, read_array, read_image
from ddb.errors import DDBError


def pixel(path, x=0, y=0):
    image = read_image(path)
    assert image.mode == "RGB"
    return image.getpixel((x, y))


@pytest.mark.parametrize(
    ("mode", "value", "rgb"),
    [
        ("RGBA", (100, 0, 200, 51), (224, 204, 244)),  # a fifth of it, and four fifths of 255
        ("LA", (0, 0), (255, 255, 255)), ("L", 77, (77, 77, 77)), ("1", 1, (255, 255, 255)),
    ],
)  # fmt: skip
def test_transparency_is_laid_on_white_and_grey_becomes_rgb(tmp_path, mode, value, rgb):
    Image.new(mode, (2, 2), value).save(tmp_path / "a.png")
    assert pixel(tmp_path / "a.png") == rgb


def test_palettes_become_rgb(tmp_path):
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    palette.save(tmp_path / "p.png")
    assert pixel(tmp_path / "p.png") == (9, 8, 7)
    palette.save(tmp_path / "p.png", transparency=1)
    assert pixel(tmp_path / "p.png") == (255, 255, 255)


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
    "folder": (lambda path: path.mkdir(), "broken image"),
    "bomb": (_bomb, "a decompression bomb; more than 100,000,000 pixels are refused"),
    # Pillow only warns of the smaller one.
    "smaller bomb": (lambda path: _bomb(path, 11_000), "11000 x 11000 pixels; more than 100,000,000 are refused"),
    "float": (lambda path: Image.new("F", (2, 2), 0.5).save(path, "tiff"), "floating-point grey values"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
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


@pytest.mark.parametrize(("mode", "order"), [("I;16", "<"), ("I;16B", ">")])
def test_sixteen_bits_in_either_byte_order_are_cut_off_never_clipped(tmp_path, mode, order):
    for value in (0x00FF, 0x0100, 0x8000, 0xFFFF):
        Image.frombytes(mode, (2, 2), np.full((2, 2), value, f"{order}u2").tobytes()).save(tmp_path / "a.tif")
        assert pixel(tmp_path / "a.tif") == (value >> 8,) * 3


def exif(order, *entries, tail=b""):
    """EXIF data of (tag, type, count, value): bytes as they are, a number as an unsigned short."""
    body = struct.pack(order + "H", len(entries))
    for tag, kind, count, value in entries:
        value = value if isinstance(value, bytes) else struct.pack(order + "HH", value, 0)
        body += struct.pack(order + "HHI", tag, kind, count) + value
    mark = b"MM\0*" if order == ">" else b"II*\0"
    return b"Exif\0\0" + mark + struct.pack(order + "I", 8) + body + bytes(4) + tail


UPRIGHT = (0x0112, 3, 1, 6)  # orientation 6: a quarter turn
DAMAGED = {
    "width of bytes": exif(">", (0x0100, 7, 1, b"abcd"), UPRIGHT),
    "description of reals": exif(">", (0x010E, 11, 1, b"abcd"), UPRIGHT),
    "resolution of bytes": exif(">", (0x011A, 7, 1, b"abcd"), UPRIGHT),
    "width as text, a fraction over 0": exif(
        "<", UPRIGHT, (0x011A, 5, 1, struct.pack("<I", 50)), (0x0100, 2, 2, b"x\0\0\0"), tail=struct.pack("<II", 72, 0)
    ),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_exif_entries_beside_the_orientation_do_not_matter(tmp_path, kind):
    stored = Image.fromarray(np.uint8([[0] * 8 + [255] * 8] * 8))  # black, then white; upright it is above and below
    stored.save(tmp_path / "a.jpg", exif=DAMAGED[kind], quality=95)
    image = read_image(tmp_path / "a.jpg")
    assert image.size == (8, 16) and max(image.getpixel((4, 2))) < 20 and min(image.getpixel((4, 13))) > 235
    if kind == "width as text, a fraction over 0":  # what Pillow cannot write back
        assert metadata_is_damaged(tmp_path / "a.jpg")


def insert(path, segment):
    """Put a metadata segment right behind the start of a JPEG file."""
    whole = path.read_bytes()
    path.write_bytes(whole[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + whole[2:])


@pytest.mark.parametrize(
    ("segment", "damaged"),
    [
        (b"http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta>\xa8\xff</x:xmpmeta>", True),  # XMP that is not UTF-8
        (b"Exif\0\0II*\0\x08\0\0\0\x05\0\1\2", True),  # five entries are said to come, and none does
        (b"Exif\0\0no header", False),  # taken for none
        (b"Exif\0\0", False),
    ],
)
def test_damaged_metadata_without_an_orientation_leaves_the_picture_as_it_is_stored(tmp_path, segment, damaged):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (16, 8), (200, 100, 50)).save(path, quality=95)
    before = read_image(path)
    assert not metadata_is_damaged(path)
    insert(path, segment)
    with warnings.catch_warnings():  # pytest sets filters of its own, which ours would come behind
        warnings.simplefilter("ignore", UserWarning)
        assert read_image(path).tobytes() == before.tobytes()
    assert metadata_is_damaged(path) is damaged


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_every_orientation_is_turned_as_pillow_turns_it_and_sound_metadata_is_not_damaged(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    for orientation in (*range(1, 9), 77):  # 77 means nothing
        entry = Image.Exif()
        entry[0x0112], entry[0x010E], entry[0x011A] = orientation, "a cat", 72.0
        Image.fromarray(noise).save(tmp_path / name, exif=entry)
        with Image.open(tmp_path / name) as stored:
            assert read_image(tmp_path / name).tobytes() == ImageOps.exif_transpose(stored).tobytes()
        assert not metadata_is_damaged(tmp_path / name)


def test_reading_damaged_metadata_writes_nothing_to_the_terminal(tmp_path):
    """Pillow warns of it without a name, once in every process that reads."""
    Image.new("RGB", (16, 8)).save(tmp_path / "a.jpg")
    insert(tmp_path / "a.jpg", b"Exif\0\0II*\0\x08\0\0\0\x05\0\1\2")
    code = "import sys; from ddb.data.images import read_image; read_image(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.jpg"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_ending_is_one_that_pillow_reads_and_the_usual_ones_are_there():
    Image.init()
    readable = {ending for ending, kind in Image.EXTENSION.items() if kind in {*Image.OPEN, "MPO"}}
    assert set(EXTENSIONS) <= readable
    images = ["a.JPG", "a.jpeg", "a.jpe", "a.jfif", "a.Png", "a.gif", "a.bmp", "a.webp", "a.tif", "a.tiff", "a.avif"]
    assert [name for name in (*images, "c.txt", ".d.png", "e") if is_image_name(name)] == images


def test_cmyk_colours_are_not_inverted(tmp_path):
    """No cyan, full magenta and yellow is red."""
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    red, green, blue = pixel(tmp_path / "a.jpg")
    assert red > 240 and green < 15 and blue < 15


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
