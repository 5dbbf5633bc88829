"""One image file -> one RGB picture, whatever the file holds, or one clear line that names it.

picture = read_image(root / "train/climbing_0.jpg")          # PIL, RGB, upright
array = read_array(path, 64)                                 # (64, 64, 3) uint8
"""

from __future__ import annotations

from pathlib import Path

from ddb.errors import DDBError
from ddb.lazy import PIL, Image, ImageOps, np

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
MAX_PIXELS = 100_000_000  # refused above: a file of kilobytes can unfold to gigabytes (decompression bomb)
WHITE = (255, 255, 255)


def is_image_name(name: str) -> bool:
    """Whether a file of that name is taken for an image: by its ending, and not hidden."""
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def read_image(path: str | Path) -> Image.Image:
    """The picture as RGB, turned upright by its EXIF orientation.

    Transparency is laid on white, palettes and grey become RGB, 16-bit grey keeps its upper 8 bits, an animation gives
    its first frame. Raises DDBError, naming the file, where it is missing, empty, broken, no image or too large.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DDBError(f"{path}: {image.width} x {image.height} pixels; more than {MAX_PIXELS:,} are refused")
            image.load()
            return _to_rgb(_upright(image, path), path)
    except Image.DecompressionBombError:
        raise DDBError(f"{path}: a decompression bomb; more than {MAX_PIXELS:,} pixels are refused") from None
    except FileNotFoundError:
        raise DDBError(f"{path}: no such file") from None
    except PIL.UnidentifiedImageError:
        what = "an empty file" if Path(path).stat().st_size == 0 else "not an image"
        raise DDBError(f"{path}: {what}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow's decoders raise for broken files
        raise DDBError(f"{path}: broken image ({' '.join(str(error).split())})") from None


def _upright(image: Image.Image, path: str | Path) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow writes the other entries back, and fails on damaged ones in many ways
        raise DDBError(f"{path}: damaged EXIF data ({type(error).__name__})") from None


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
        canvas = Image.new("RGBA", picture.size, (*WHITE, 255))
        return Image.alpha_composite(canvas, picture).convert("RGB")
    return image.convert("RGB")


def resize(image: Image.Image, size: int) -> Image.Image:
    """(size, size), the whole picture stretched, antialiased: what the field's loaders do before they crop."""
    return image.resize((size, size), Image.Resampling.BICUBIC)


def read_array(path: str | Path, size: int) -> np.ndarray:
    """The picture of a file as (size, size, 3) uint8."""
    return np.asarray(resize(read_image(path), size))
