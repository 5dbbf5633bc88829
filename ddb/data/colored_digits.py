"""Colored Digits: the built-in biased benchmark, ten digits on ten background colours.

scikit-learn's 1,797 scanned digits (8x8, shipped with the package) are enlarged and painted white on a colour. In the
training split a share `1 - conflict_ratio` of each class carries the colour of its class, the rest another colour,
chosen at random. Every validation and test scan appears once in each colour, so colour says nothing there. The
construction is that of the field's Colored MNIST; no scan is in two splits.

    ddb data describe colored_digits conflict_ratio=0.02
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ddb.data.dataset import BiasedDataset, DatasetConfig, Split
from ddb.lazy import Image, np
from ddb.randomness import numpy_generator
from ddb.settings import AddedLater

TRAIN_SCANS, VAL_SCANS = 1300, 200  # of 1,797; the rest is the test split

PALETTE = {  # ten hues of similar lightness, all darker than the white strokes
    "red": (230, 25, 75),
    "green": (60, 180, 75),
    "gold": (215, 180, 0),
    "blue": (0, 90, 220),
    "orange": (245, 130, 48),
    "purple": (145, 30, 180),
    "teal": (0, 170, 180),
    "magenta": (240, 50, 230),
    "brown": (128, 80, 30),
    "grey": (110, 110, 110),
}


class ColoredDigitsConfig(DatasetConfig):
    """Settings of the Colored Digits benchmark."""

    bias_labels: ClassVar[bool] = True
    name: Literal["colored_digits"] = "colored_digits"
    conflict_ratio: float = Field(
        default=0.05, ge=0, le=1, description="share of each class whose colour is not its class's"
    )
    label_noise: Annotated[float, AddedLater(0.0)] = Field(
        default=0.0, ge=0, lt=1, description="share of the training images that get the label of another class"
    )
    image_size: int = Field(default=16, ge=8, le=64, multiple_of=4, description="height and width in pixels")
    seed: int = Field(default=0, ge=0, description="draws the splits and the colours; training seeds are apart")


def load(config: ColoredDigitsConfig) -> BiasedDataset:
    """Build the benchmark; the same settings give the same bytes on every machine."""
    from sklearn.datasets import load_digits  # takes seconds to import, and planning an experiment needs none of it

    digits: Any = load_digits()
    random = numpy_generator("colored_digits", config.seed)
    order = random.permutation(len(digits.target))  # (1797,)
    scans = np.split(order, [TRAIN_SCANS, TRAIN_SCANS + VAL_SCANS])

    labels = digits.target[scans[0]].astype(np.int64)  # (1300,)
    colors = labels.copy()
    for label in range(10):
        members = np.flatnonzero(labels == label)
        number = round(config.conflict_ratio * len(members))
        chosen = random.choice(members, number, replace=False)
        colors[chosen] = (label + random.integers(1, 10, number)) % 10  # any colour but the class's own
    if config.label_noise:  # after the colours, which follow the digit that the scan shows
        wrong = random.choice(len(labels), round(config.label_noise * len(labels)), replace=False)
        labels[wrong] = (labels[wrong] + random.integers(1, 10, len(wrong))) % 10
    splits = {"train": _paint(digits.images, scans[0], labels, colors, config.image_size)}
    for name, ids in (("val", scans[1]), ("test", scans[2])):
        every_color = np.tile(np.arange(10), len(ids))
        ids = np.repeat(ids, 10)
        splits[name] = _paint(digits.images, ids, digits.target[ids].astype(np.int64), every_color, config.image_size)
    names = tuple(PALETTE)
    return BiasedDataset("colored_digits", tuple("0123456789"), {"color": names}, splits)


def scan_of(path: str) -> str:
    """The scan that an image was painted from, which it shares with those of other colours."""
    return path.partition("_")[0]


def _paint(scans: np.ndarray, ids: np.ndarray, labels: np.ndarray, colors: np.ndarray, size: int) -> Split:
    """White strokes over a flat colour: colour * (1 - ink) + white * ink."""
    ink = np.stack([_enlarge(scans[i], size) for i in ids])[..., None]  # (N, size, size, 1) in [0, 1]
    background = np.array(list(PALETTE.values()), np.float32)[colors][:, None, None]  # (N, 1, 1, 3)
    images = (background * (1 - ink) + 255 * ink).round().astype(np.uint8)
    names = list(PALETTE)
    paths = [f"scan{i:04d}_{label}_{names[color]}.png" for i, label, color in zip(ids, labels, colors, strict=True)]
    return Split(images, labels, paths, colors[:, None].astype(np.int64), colors == labels)


def _enlarge(scan: np.ndarray, size: int) -> np.ndarray:
    """An 8x8 scan of values 0..16 to (size, size) float32 in [0, 1]."""
    image = Image.fromarray((scan / 16 * 255).round().astype(np.uint8))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC), np.float32) / 255
