"""One image file -> one RGB picture, whatever the file holds, or one clear line that names it.

picture = read_image(root / "train/climbing_0.jpg")          # PIL, RGB, upright
array = read_array(path, 64)                                 # (64, 64, 3) uint8
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ddb.errors import DDBError
from ddb.lazy import PIL, Image, np

# What Pillow decodes without other programs, but for icons and for formats whose values are no colours.
EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif", ".ppm",
    ".pgm", ".pbm", ".pnm", ".avif", ".avifs", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".mpo", ".tga",
    ".icb", ".vda", ".vst", ".pcx", ".dcx", ".dds", ".psd", ".qoi", ".sgi", ".rgb", ".rgba", ".bw", ".ras", ".msp",
    ".xbm", ".xpm", ".blp"
)  # fmt: skip
MAX_PIXELS = 100_000_000  # refused above: a file of kilobytes can unfold to gigabytes (decompression bomb)
ORIENTATION = 0x0112  # the EXIF entry
TURNS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE",
         8: "ROTATE_90"}  # orientation -> what makes it upright  # fmt: skip
CHUNK = 256  # files between two looks at the progress
Seen = TypeVar("Seen")

# Pillow's warnings of damaged metadata name no file, and come in every process that reads; `ddb data check` names it.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")


def is_image_name(name: str) -> bool:
    """Whether a file of that name is taken for an image: by its ending, and not hidden."""
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def read_image(path: str | Path) -> Image.Image:
    """The picture as RGB, turned upright by its EXIF orientation, where that can be read.

    Transparency is laid on white, palettes and grey become RGB, 16-bit grey keeps its upper 8 bits, an animation gives
    its first frame. Raises DDBError, naming the file, where it is missing, empty, broken, no image or too large.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DDBError(f"{path}: {image.width} x {image.height} pixels; more than {MAX_PIXELS:,} are refused")
            image.load()
            turn = TURNS.get(_orientation(image) or 0)
            return _to_rgb(image.transpose(Image.Transpose[turn]) if turn else image, path)
    except Image.DecompressionBombError:
        raise DDBError(f"{path}: a decompression bomb; more than {MAX_PIXELS:,} pixels are refused") from None
    except (DDBError, MemoryError):
        raise
    except FileNotFoundError:
        raise DDBError(f"{path}: no such file") from None
    except PIL.UnidentifiedImageError:
        what = "an empty file" if Path(path).stat().st_size == 0 else "not an image"
        raise DDBError(f"{path}: {what}") from None
    except Exception as error:  # Pillow's decoders raise nearly any for broken files
        raise DDBError(f"{path}: broken image ({' '.join(str(error).split())})") from None


def depth(path: str | Path) -> int:
    """Bits of a grey value or of a channel, as the header of a sound file says."""
    with Image.open(path) as image:
        return 16 if image.mode.startswith("I") else 8


def pages(path: str | Path) -> int:
    """Pages of a TIFF file, or frames of an animation, as a sound file says; `read_image` takes the first."""
    with Image.open(path) as image:
        return getattr(image, "n_frames", 1)


def metadata_is_damaged(path: str | Path) -> bool:
    """Whether a sound picture's EXIF or XMP data is damaged, which does not keep the picture from being used.

    Not for threads: Pillow only warns of some damage, and what becomes of warnings is the process's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            with Image.open(path) as image:
                image.info.get("xmp", b"").decode()  # newer versions of Pillow look for what they need in its bytes
                if "exif" in image.info:
                    image.getexif().tobytes()  # reads every entry
        except Exception:  # Pillow fails on damaged entries in many ways
            return True
    return False


def _orientation(image: Image.Image) -> int | None:
    """The EXIF orientation, 1 to 8, whatever else is damaged; None where it cannot be read."""
    try:
        return image.getexif().get(ORIENTATION)
    except Exception:  # Pillow fails on damaged entries in many ways, XMP data among them; EXIF data alone may be sound
        exif = Image.Exif()
        try:
            exif.load(image.info.get("exif", b""))
            return exif.get(ORIENTATION)
        except Exception:
            return None


def _to_rgb(image: Image.Image, path: str | Path) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise DDBError(f"{path}: 32-bit grey values are not supported")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise DDBError(f"{path}: floating-point grey values are not supported")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        picture = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return image.convert("RGB")


def resize(image: Image.Image, size: int) -> Image.Image:
    """(size, size), the whole picture stretched, antialiased: what the field's loaders do before they crop."""
    return image.resize((size, size), Image.Resampling.BICUBIC)


def read_array(path: str | Path, size: int) -> np.ndarray:
    """The picture of a file as (size, size, 3) uint8."""
    return np.asarray(resize(read_image(path), size))


def look_at(
    files: list[Path], look: Callable[[Path], Seen], threads: int, progress: Callable[[int, int], None]
) -> Iterator[Seen | DDBError]:
    """`look(file)` of each file in order, or the error that it raised; told are how many are done, of how many.

    Pillow decodes and resizes outside Python's lock, so threads use as many cores.
    """

    def seen(file: Path) -> Seen | DDBError:
        try:
            return look(file)
        except DDBError as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(files), CHUNK):
            part = files[start : start + CHUNK]
            yield from pool.map(seen, part)
            progress(start + len(part), len(files))
