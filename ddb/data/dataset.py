"""What every benchmark is turned into: images, class labels and, where known, bias attributes.

dataset = load_dataset(ColoredDigitsConfig())
dataset["train"].images     # (N, H, W, 3) uint8
dataset["train"].aligned    # (N,) bool, or None where the bias is not labelled
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from ddb.errors import DDBError
from ddb.lazy import np
from ddb.randomness import numpy_generator
from ddb.settings import Settings

SPLITS = ("train", "val", "test")


class DatasetConfig(Settings):
    """Settings that every data set has."""

    bias_labels: ClassVar[bool] = False  # whether the data set says which images conflict with the bias
    name: str
    image_size: int


@dataclass(frozen=True)
class Split:
    """One split of a benchmark, row by row. Bias knowledge that a data set lacks is None: absent, never guessed."""

    images: np.ndarray | None  # (N, H, W, 3) uint8, RGB, or features (N, D) float32; None if files are only listed
    labels: np.ndarray  # (N,) int64, class
    paths: list[str]  # (N,) identity of each image, unique within the split; below `root` where they are files
    bias: np.ndarray | None = None  # (N, A) int64, value of each bias attribute
    aligned: np.ndarray | None = None  # (N,) bool, every bias attribute agrees with the class
    root: Path | None = None  # the folder of the files; None where the images exist in memory alone
    disagrees: np.ndarray | None = None  # (N, A) bool, which attributes disagree with the class, where A > 1

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def array(self) -> np.ndarray:
        """The images or features of a split that has them in memory."""
        assert self.images is not None
        return self.images

    def file(self, row: int) -> Path:
        """The file of one image, of a split that has files."""
        assert self.root is not None
        return self.root / self.paths[row]

    def take(self, rows: np.ndarray) -> Split:
        """The given rows, (M,) int64, in their order."""
        return replace(
            self,
            images=None if self.images is None else self.images[rows],
            labels=self.labels[rows],
            paths=[self.paths[row] for row in rows],
            bias=None if self.bias is None else self.bias[rows],
            aligned=None if self.aligned is None else self.aligned[rows],
            disagrees=None if self.disagrees is None else self.disagrees[rows],
        )


@dataclass(frozen=True)
class BiasedDataset:
    """A benchmark: its splits and the names of its classes and bias values."""

    name: str
    classes: tuple[str, ...]
    bias_attributes: dict[str, tuple[str, ...]]  # attribute -> names of its values; empty where unknown
    splits: dict[str, Split]
    notes: tuple[str, ...] = ()  # what a reader of the numbers must know, such as a split that we held out
    reading: tuple[str, ...] = ()  # of its files: what was taken for what, what is left out; not kept in a store

    def __getitem__(self, split: str) -> Split:
        return self.splits[split]

    def validate(self) -> BiasedDataset:
        """Raise DDBError where a split could not be trained or evaluated on; returns self."""
        for name in SPLITS:
            split = self.splits[name]
            if not len(split):
                raise DDBError(f"dataset {self.name}: no {name} images")
            if split.images is not None and (split.images.dtype != np.uint8 or split.images.shape[3:] != (3,)):
                raise DDBError(f"dataset {self.name}: {name} images must be uint8 of shape (N, H, W, 3)")
        counts = np.bincount(self["train"].labels, minlength=len(self.classes))  # (C,)
        empty = [self.classes[c] for c in np.flatnonzero(counts == 0)]
        if empty:
            raise DDBError(f"dataset {self.name}: no training images of class {', '.join(empty)}")
        if len(self.classes) < 2:
            raise DDBError(f"dataset {self.name}: needs at least two classes, has {', '.join(self.classes)}")
        return self


def groups(split: Split) -> np.ndarray:
    """Group of each image, (N,) int64, numbered as in `group_names`. Needs bias labels.

    With one bias attribute, 2 * class + (1 if bias-conflicting): the field's class x attribute grouping up to the order
    of names whenever the attribute has as many values as there are classes, as in Waterbirds and BFFHQ. With A of them
    (UrbanCars), 2^A * class + sum_a 2^a * (1 if attribute a disagrees with the class).
    """
    if split.aligned is None:
        raise DDBError("this data set has no bias labels, so its groups are unknown")
    disagrees = disagreement(split)  # (N, A)
    bits = 1 << np.arange(disagrees.shape[1])  # (A,)
    return (split.labels << disagrees.shape[1]) + disagrees @ bits


def disagreement(split: Split) -> np.ndarray:
    """(N, A) bool: whether each bias attribute disagrees with the class. Needs bias labels."""
    assert split.aligned is not None
    return ~split.aligned[:, None] if split.disagrees is None else split.disagrees


def group_names(classes: tuple[str, ...], attributes: tuple[str, ...] = ()) -> list[str]:
    """Names in the order of `groups`, for the bias attributes of that data set."""
    patterns = ["aligned", "conflicting"]
    if len(attributes) > 1:
        numbers = range(1, 2 ** len(attributes))
        chosen = ["+".join(a for i, a in enumerate(attributes) if number >> i & 1) for number in numbers]
        patterns = ["aligned", *(f"conflicting in {names}" for names in chosen)]
    return [f"{name}/{pattern}" for name in classes for pattern in patterns]


def hold_out(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """What remains of `split` and a random `share` of it, stratified by class; both in the order of `split`.

    Every class of two images or more keeps at least one on both sides.
    """
    random, taken = numpy_generator("hold out", seed), [np.zeros(0, np.int64)]
    for label in np.unique(split.labels):
        members = np.flatnonzero(split.labels == label)
        number = min(max(1, round(share * len(members))), len(members) - 1)
        taken.append(random.choice(members, number, replace=False))
    held = np.zeros(len(split), bool)
    held[np.concatenate(taken)] = True
    return split.take(np.flatnonzero(~held)), split.take(np.flatnonzero(held))
