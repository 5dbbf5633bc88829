"""Anyone's own images: a folder per class, without bias labels.

<root>/<class>/*                              split by us: 70 % train, 10 % val, 20 % test, stratified, seeded
<root>/{train,val,test}/<class>/*             taken as they are; a missing val or test is held out from train
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ddb.data.dataset import BiasedDataset, Split, hold_out
from ddb.data.files import FilesConfig, folders, images, listed
from ddb.errors import DDBError

SPLIT_NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test",)}


class FolderConfig(FilesConfig):
    """Settings of a folder of images."""

    name: Literal["folder"] = "folder"
    root: Path = Field(description="the folder")
    val_share: float = Field(0.1, gt=0, lt=1, description="held out for validation where there is no such folder")
    test_share: float = Field(0.2, gt=0, lt=1, description="held out for testing where there is no such folder")
    split_seed: int = Field(0, ge=0, description="draws what is held out; training seeds are apart")

    @model_validator(mode="after")
    def _leaves_some(self):
        if self.val_share + self.test_share > 0.9:
            raise ValueError("val_share and test_share leave less than a tenth to train on")
        return self


def index(config: FolderConfig, root: Path) -> BiasedDataset:
    """List the folder. Raises DDBError where it has fewer than two classes, or a class fewer than three images."""
    here = folders(root)
    given = {name: next((n for n in names if n in here), None) for name, names in SPLIT_NAMES.items()}
    train_folder = root / given["train"] if given["train"] else root
    classes = tuple(folders(train_folder))
    if len(classes) < 2:
        raise DDBError(f"{train_folder}: needs a folder per class, at least two; it has {len(classes)}")
    splits, notes = {"train": _read(train_folder, root, classes)}, []
    for name, share, seed in (("test", config.test_share, 0), ("val", config.val_share, 1)):
        if given["train"] and given[name]:
            splits[name] = _read(root / given[name], root, classes)
            continue
        if name == "val" and not (given["train"] and given["test"]):
            share /= 1 - config.test_share  # of what is left beside the test images
        _check_counts(splits["train"], classes, train_folder)
        splits["train"], splits[name] = hold_out(splits["train"], share, 2 * config.split_seed + seed)
        notes.append(f"{name}: {len(splits[name])} images, held out by us from the training images, stratified by "
                     f"class, seed {config.split_seed}")  # fmt: skip
    return BiasedDataset("folder", classes, {}, splits, tuple(notes))


def _read(directory: Path, root: Path, classes: tuple[str, ...]) -> Split:
    if strange := [name for name in folders(directory) if name not in classes]:
        raise DDBError(f"{directory / strange[0]}: no training images of this class")
    paths, labels = [], []
    for label, name in enumerate(classes):
        found = images(directory / name, root) if (directory / name).is_dir() else []
        paths += found
        labels += [label] * len(found)
    return listed(root, paths, labels)


def _check_counts(split: Split, classes: tuple[str, ...], directory: Path) -> None:
    for label, name in enumerate(classes):
        count = int((split.labels == label).sum())
        if count < 2:
            raise DDBError(f"{directory / name}: {count} images left; too few to hold some out for val and test")
