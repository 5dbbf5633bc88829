"""Any data set in the field's align/conflict folders: Colored MNIST, Corrupted CIFAR-10, BFFHQ and their relatives.

    <root>/<train>/align/<class>/<id>_<target>_<bias>.png
    <root>/<train>/conflict/<class>/<id>_<target>_<bias>.png
    <root>/<val>/..., <root>/<test>/...       the same folders, folders of classes, or all files flat

The folder says the class; the name's suffix says target and bias, by the class's place in sorted order. An image is
aligned iff target == bias; a name that contradicts its folder is refused, since one of the two must be wrong.
"""

import re
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from ddb.data.dataset import BiasedDataset, Split
from ddb.data.files import FilesConfig, distinct, folders, images, listed
from ddb.errors import DDBError
from ddb.lazy import np

SUFFIX = re.compile(r"_(\d+)_(\d+)\.[^.]+$")  # _<target>_<bias>.png


class AlignConflictConfig(FilesConfig):
    """Settings of an align/conflict tree."""

    bias_labels: ClassVar[bool] = True
    name: Literal["align_conflict"] = "align_conflict"
    train: str = Field(default="train", description="folder of the training images, below root")
    val: str = Field(default="valid", description="folder of the validation images")
    test: str = Field(default="test", description="folder of the test images")
    attribute: str = Field(default="bias", description="name of the bias attribute in tables")


def index(config: AlignConflictConfig, root: Path) -> BiasedDataset:
    """List the data set. Raises DDBError that names the folder or file at fault."""
    train = root / config.train
    classes = class_folders(train / "align")
    splits = read_splits(root, classes, train / "conflict", train / "align", config.val, config.test)
    return BiasedDataset(config.name, classes, {config.attribute: classes}, splits)


def class_folders(directory: Path) -> tuple[str, ...]:
    """The classes: folders of `directory`, sorted, by number where all are numbers."""
    names = folders(directory)
    if not names:
        raise DDBError(f"{directory}: no class folders")
    return distinct(names)


def read_splits(
    root: Path, classes: tuple[str, ...], conflict: Path, align: Path, val: str = "valid", test: str = "test"
) -> dict[str, Split]:
    """The training images of two folders; a val and a test folder may be flat, have classes, or two such folders."""
    splits = {"train": _read_tree({align: True, conflict: False}, root, classes)}
    for name, directory in (("val", root / val), ("test", root / test)):
        if (directory / "align").is_dir():
            splits[name] = _read_tree({directory / "align": True, directory / "conflict": False}, root, classes)
        elif {*folders(directory)} & {*classes}:
            splits[name] = _read_tree({directory: None}, root, classes)
        else:
            splits[name] = _from_names(images(directory, root), root, classes)
    return splits


def _read_tree(kinds: dict[Path, bool | None], root: Path, classes: tuple[str, ...]) -> Split:
    """The images below folders of classes, checked against their names' suffixes.

    `kinds` are what holds these folders, and whether their images are aligned (None: some are). Raises DDBError if one
    of them does not exist: without conflicting images it would be another data set.
    """
    expected = {}  # path -> its class, and whether it is aligned
    for kind, aligned in kinds.items():
        if strange := [name for name in folders(kind) if name not in classes]:
            raise DDBError(f"{kind / strange[0]}: not a class; the aligned images' classes are {', '.join(classes)}")
        for label, name in enumerate(classes):
            if (kind / name).is_dir():  # a class may have no conflicting image
                expected |= dict.fromkeys(images(kind / name, root), (label, aligned))
    split = _from_names([*expected], root, classes)
    assert split.aligned is not None
    for path, label, aligned in zip(split.paths, split.labels, split.aligned, strict=True):
        if expected[path] not in ((label, aligned), (label, None)):
            raise DDBError(f"{root / path}: its name (_<target>_<bias>) contradicts its folder")
    return split


def _from_names(paths: list[str], root: Path, classes: tuple[str, ...]) -> Split:
    """Labels and bias from `_<target>_<bias>` suffixes. Raises DDBError for a name without, or with unknown numbers."""
    pairs = []
    for path in paths:
        match = SUFFIX.search(path)
        pair = [int(number) for number in match.groups()] if match else []
        if not pair or max(pair) >= len(classes):
            raise DDBError(f"{root / path}: its name must end in _<target>_<bias>, numbers below {len(classes)}")
        pairs.append(pair)
    values = np.array(pairs, np.int64).reshape(-1, 2)  # (N, 2): target, bias
    return listed(root, paths, values[:, 0], values[:, 1:], values[:, 0] == values[:, 1])
