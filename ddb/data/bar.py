"""BAR, Biased Action Recognition (Nam et al., NeurIPS 2020): six actions in places that give them away.

    train/<class>_<number>.jpg, test/<class>_<number>.jpg                                    (variant: original)
    train/align/<class>/*, train/conflict/<1pct|5pct>/<class>/*, flat valid/* and test/*     (variant: 1pct, 5pct)

The original has no bias labels and no validation split: a stratified, seeded share of train is held out, and every
table says so. The metric is the average test accuracy. The variants' names end in `_<target>_<bias>`.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from ddb.data.align_conflict import class_folders, read_splits
from ddb.data.dataset import BiasedDataset, Split, hold_out
from ddb.data.files import FilesConfig, images, listed
from ddb.errors import DDBError

CLASSES = ("climbing", "diving", "fishing", "pole vaulting", "racing", "throwing")
PLACES = ("bar", "BAR")
# Images per split and class, train before the hold-out.
PUBLISHED = {"train": (326, 520, 163, 279, 336, 317), "test": (105, 159, 42, 131, 132, 85)}


class BARConfig(FilesConfig):
    """Settings of BAR."""

    name: Literal["bar"] = "bar"
    variant: Literal["original", "1pct", "5pct"] = "original"
    holdout: float = Field(
        default=0.1, gt=0, lt=1, description="share of train that is held out for validation (original)"
    )
    holdout_seed: int = Field(default=0, ge=0, description="draws the held-out images; training seeds are apart")
    classes: tuple[str, ...] = Field(
        default=CLASSES, min_length=2, description="some of the six, for smaller runs (original)"
    )

    @property
    def bias_labels(self) -> bool:
        return self.variant != "original"


def published(config: BARConfig) -> dict[str, tuple[int, ...]]:
    """Images per split and class of the original, for the classes that are used; train before the hold-out."""
    if config.variant != "original":
        return {}
    chosen = [CLASSES.index(name) for name in config.classes]
    return {split: tuple(counts[label] for label in chosen) for split, counts in PUBLISHED.items()}


def index(config: BARConfig, root: Path) -> BiasedDataset:
    """List the data set. Raises DDBError that names the file or folder at fault."""
    return _original(config, root) if config.variant == "original" else _variant(config, root)


def _original(config: BARConfig, root: Path) -> BiasedDataset:
    if unknown := [name for name in config.classes if name not in CLASSES]:
        raise DDBError(f"dataset.classes: {unknown[0]!r} is not a class of BAR; known: {', '.join(CLASSES)}")
    train, held = hold_out(_flat(root / "train", root, config.classes), config.holdout, config.holdout_seed)
    note = (f"val: {len(held)} images, {config.holdout:.0%} of the training images held out by us, stratified by "
            f"class, seed {config.holdout_seed}; BAR has no validation split")  # fmt: skip
    notes = (note,) if set(config.classes) == set(CLASSES) else (note, f"{len(config.classes)} of BAR's 6 classes")
    splits = {"train": train, "val": held, "test": _flat(root / "test", root, config.classes)}
    return BiasedDataset("bar", tuple(config.classes), {}, splits, notes)


def _flat(directory: Path, root: Path, classes: tuple[str, ...]) -> Split:
    """Classes from `<class>_<number>.jpg`; those that are not in `classes` are left out."""
    labels = {}
    for path in images(directory, root):
        name = Path(path).name.rpartition("_")[0]
        if name not in CLASSES:
            raise DDBError(f"{root / path}: its name must be <class>_<number>, with a class of BAR")
        if name in classes:
            labels[path] = classes.index(name)
    return listed(root, [*labels], [*labels.values()])


def _variant(config: BARConfig, root: Path) -> BiasedDataset:
    train = root / "train"
    names = class_folders(train / "align")
    splits = read_splits(root, names, train / "conflict" / config.variant, train / "align")
    return BiasedDataset("bar", names, {"place": names}, splits, (f"variant {config.variant}",))
