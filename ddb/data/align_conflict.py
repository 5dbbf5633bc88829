"""Any data set in the field's align/conflict folders: Colored MNIST, Corrupted CIFAR-10, BFFHQ and their relatives.

    <root>/<train>/align/<class>/<id>_<target>_<bias>.png
    <root>/<train>/conflict/<class>/<id>_<target>_<bias>.png
    <root>/<val>/..., <root>/<test>/...       the same folders, folders of classes, or all files flat

The folder says the class; the name's suffix says target and bias, by the class's place in sorted order. An image is
aligned iff target == bias; a name that contradicts its folder is refused, since one of the two must be wrong.
"""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from ddb.data.dataset import BiasedDataset, Split
from ddb.data.files import FilesConfig, distinct, folders, images, listed
from ddb.errors import DDBError

SUFFIX = re.compile(r"_(\d+)_(\d+)\.[^.]+$")  # _<target>_<bias>.png


class AlignConflictConfig(FilesConfig):
    """Settings of an align/conflict tree."""

    name: Literal["align_conflict"] = "align_conflict"
    train: str = Field(default="train", description="folder of the training images, below root")
    val: str = Field(default="valid", description="folder of the validation images")
    test: str = Field(default="test", description="folder of the test images")
    attribute: str = Field(default="bias", description="name of the bias attribute in tables")

    @property
    def bias_labels(self) -> bool:
        return True


def index(config: AlignConflictConfig, root: Path) -> BiasedDataset:
    """List the data set. Raises DDBError that names the folder or file at fault."""
    classes = class_folders(root / config.train / "align")
    splits = {
        "train": read_tree(align_and_conflict(root / config.train), root, classes),
        "val": read_split(root / config.val, root, classes),
        "test": read_split(root / config.test, root, classes),
    }
    return BiasedDataset(config.name, classes, {config.attribute: classes}, splits)


def class_folders(directory: Path) -> tuple[str, ...]:
    """The classes: folders of `directory`, sorted, by number where all are numbers."""
    names = folders(directory)
    if not names:
        raise DDBError(f"{directory}: no class folders")
    return distinct(names)


def read_split(directory: Path, root: Path, classes: tuple[str, ...]) -> Split:
    """A split that is flat, has a folder per class, or has align and conflict folders of its own."""
    if (directory / "align").is_dir():
        return read_tree(align_and_conflict(directory), root, classes)
    if {*folders(directory)} & {*classes}:
        return read_tree({directory: None}, root, classes)
    return from_names(images(directory, root), root, classes)


def align_and_conflict(directory: Path) -> dict[Path, bool | None]:
    """The two folders, and whether their images are aligned."""
    return {directory / "align": True, directory / "conflict": False}


def read_tree(kinds: dict[Path, bool | None], root: Path, classes: tuple[str, ...]) -> Split:
    """The images below folders of classes, checked against their names' suffixes.

    `kinds` are what holds these folders, and whether their images are aligned (None: some are). Raises DDBError if one
    of them does not exist: without conflicting images it would be another data set.
    """
    paths, expected = [], []
    for kind, in_kind in kinds.items():
        if strange := [name for name in folders(kind) if name not in classes]:
            raise DDBError(f"{kind / strange[0]}: not a class; the aligned images' classes are {', '.join(classes)}")
        for label, name in enumerate(classes):
            if not (kind / name).is_dir():  # a class may have no conflicting image
                continue
            found = images(kind / name, root)
            paths += found
            expected += [(label, in_kind)] * len(found)
    split = from_names(paths, root, classes)
    known = dict(zip(paths, expected, strict=True))
    assert split.aligned is not None
    for path, label, aligned in zip(split.paths, split.labels, split.aligned, strict=True):
        if known[path] not in ((label, aligned), (label, None)):
            raise DDBError(f"{root / path}: its name (_<target>_<bias>) contradicts its folder")
    return split


def from_names(paths: list[str], root: Path, classes: tuple[str, ...]) -> Split:
    """Labels and bias from `_<target>_<bias>` suffixes. Raises DDBError for a name without, or with unknown numbers."""
    pairs = []
    for path in paths:
        match = SUFFIX.search(path)
        pair = tuple(map(int, match.groups())) if match else ()
        if not pair or max(pair) >= len(classes):
            raise DDBError(f"{root / path}: its name must end in _<target>_<bias>, numbers below {len(classes)}")
        pairs.append(pair)
    targets, biases = [target for target, _ in pairs], [bias for _, bias in pairs]
    return listed(root, paths, targets, biases, [target == bias for target, bias in pairs])
