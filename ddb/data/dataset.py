"""What every benchmark is turned into: uint8 images, class labels and, where known, bias attributes.

dataset = load_dataset(ColoredDigitsConfig())
dataset["train"].images     # (N, H, W, 3) uint8
dataset["train"].aligned    # (N,) bool, or None where the bias is not labelled
"""

from dataclasses import dataclass

import numpy as np

from ddb.errors import DDBError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """One split of a benchmark, row by row. Bias knowledge that a data set lacks is None: absent, never guessed."""

    images: np.ndarray  # (N, H, W, 3) uint8, RGB
    labels: np.ndarray  # (N,) int64, class
    paths: list[str]  # (N,) identity of each image, unique within the split
    bias: np.ndarray | None = None  # (N, A) int64, value of each bias attribute
    aligned: np.ndarray | None = None  # (N,) bool, the bias agrees with the class

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class BiasedDataset:
    """A benchmark: its splits and the names of its classes and bias values."""

    name: str
    classes: tuple[str, ...]
    bias_attributes: dict[str, tuple[str, ...]]  # attribute -> names of its values; empty where unknown
    splits: dict[str, Split]

    def __getitem__(self, split: str) -> Split:
        return self.splits[split]

    def validate(self) -> "BiasedDataset":
        """Raise DDBError where a split could not be trained or evaluated on; returns self."""
        for name in SPLITS:
            split = self.splits[name]
            if split.images.dtype != np.uint8 or split.images.ndim != 4 or split.images.shape[-1] != 3:
                raise DDBError(f"dataset {self.name}: {name} images must be uint8 of shape (N, H, W, 3)")
        counts = np.bincount(self["train"].labels, minlength=len(self.classes))  # (C,)
        empty = [self.classes[c] for c in np.flatnonzero(counts == 0)]
        if empty:
            raise DDBError(f"dataset {self.name}: no training images of class {', '.join(empty)}")
        return self


def groups(split: Split) -> np.ndarray:
    """Group of each image, (N,) int64: 2 * class + (1 if bias-conflicting). Needs bias labels.

    On a benchmark with one bias attribute this is the field's (class x attribute) grouping up to the order of names
    whenever the attribute has as many values as there are classes, as in Waterbirds and BFFHQ.
    """
    if split.aligned is None:
        raise DDBError("this data set has no bias labels, so its groups are unknown")
    return 2 * split.labels + (~split.aligned).astype(np.int64)


def group_names(classes: tuple[str, ...]) -> list[str]:
    """Names in the order of `groups`."""
    return [f"{name}/{kind}" for name in classes for kind in ("aligned", "conflicting")]
