"""Any data set that a table describes: one row per image with its file, class, bias attribute and split.

    dataset: {name: metadata_csv, root: my_images, label: y, bias: [place], splits: {train: "0", val: "1", test: "2"}}

The columns' names are settings. Classes and bias values are the distinct entries of their columns, in numeric order
where all are numbers. Which value is aligned with a class is not written in such a table: it is taken to be the class's
commonest value in the training split, per attribute (the field's meaning of a spurious correlation). Values such as
`nan`, which stand for none, are refused.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal

from pydantic import Field

from ddb import csv_text
from ddb.data.dataset import SPLITS, BiasedDataset
from ddb.data.files import FilesConfig, distinct, listed
from ddb.data.labels import is_missing
from ddb.data.roles import role_of
from ddb.errors import DDBError
from ddb.lazy import np


class MetadataConfig(FilesConfig):
    """Settings of a data set with a table."""

    name: Literal["metadata_csv"] = "metadata_csv"
    table: str = Field(default="metadata.csv", description="the table, below root")
    filename: str = Field(default="img_filename", description="column: file, below root")
    label: str = Field(default="y", description="column: class")
    bias: tuple[str, ...] = Field(default=("place",), description="columns: bias attributes; [] where there are none")
    split: str = Field(default="split", description="column: split")
    splits: dict[Literal["train", "val", "test"], str] = Field(
        default={"train": "0", "val": "1", "test": "2"}, description="what the split column says for each split"
    )

    @property
    def bias_labels(self) -> bool:
        return bool(self.bias)

    @property
    def tables(self) -> tuple[str, ...]:
        return (self.table,)


def index(config: MetadataConfig, root: Path) -> BiasedDataset:
    """List the data set. Raises DDBError that names the table and the column or row at fault."""
    dataset = from_table(config, root)
    return align_by_majority(dataset) if config.bias else dataset


def from_table(config: MetadataConfig, root: Path) -> BiasedDataset:
    """What the table says, without a judgement of what is aligned."""
    rows = read_table(root / config.table, [config.filename, config.label, *config.bias, config.split])
    for row in rows:
        row[config.filename] = below(root, row[config.filename], config.table)
    names, reading = _split_names(rows, config)
    classes = distinct(row[config.label] for row in rows)
    attributes = {name: distinct(row[name] for row in rows) for name in config.bias}
    position = {name: i for i, name in enumerate(classes)}
    seen = set()
    for row in rows:
        name, split = row[config.filename], row[config.split]
        if split not in names:
            known = ", ".join(names)
            raise DDBError(f"{root / config.table}: column {config.split!r} says {split!r}; dataset.splits has {known}")
        if (same := (os.path.normpath(name), split)) in seen:
            raise DDBError(f"{root / config.table}: {name} stands in two rows of the same split")
        seen.add(same)
    splits = {}
    for split in SPLITS:
        chosen = [row for row in rows if names[row[config.split]] == split]
        labels = [position[row[config.label]] for row in chosen]
        values = [[attributes[name].index(row[name]) for name in config.bias] for row in chosen]
        bias = np.array(values, np.int64).reshape(len(chosen), len(config.bias)) if config.bias else None  # (N, A)
        splits[split] = listed(root, [row[config.filename] for row in chosen], labels, bias)
    return BiasedDataset(config.name, classes, attributes, splits, reading=reading)


def _split_names(rows: list[dict[str, str]], config: MetadataConfig) -> tuple[dict[str, str], tuple[str, ...]]:
    """What the split column says -> split: by the setting, else by words such as train, valid, test, with a note."""
    wanted = {value: split for split, value in config.splits.items()}
    values = dict.fromkeys(row[config.split] for row in rows)
    known = {value: role for value in values if (role := role_of(value))}
    if values.keys() <= wanted.keys() or len(set(known.values())) < len(values):
        return wanted, ()
    named = ", ".join(f"{role} from {value!r}" for value, role in known.items())
    return known, (f"splits: {named} in column {config.split!r} (dataset.splits says otherwise)",)


def below(root: Path, name: str, table: str) -> str:
    """The path below `root` of a file that a table names; an absolute one must lie there.

    Raises DDBError where it does not.
    """
    windows = PureWindowsPath(name)
    if (windows.drive or "\\" in name) and not (root / name).exists():  # a table from Windows
        if windows.drive:
            raise DDBError(f"{root / table}: {name} is not below {root}")
        name = windows.as_posix()
    if not os.path.isabs(name) and ".." not in PurePosixPath(name).parts:
        return name  # as it is written
    path = Path(os.path.normpath(root / name))
    for place, folder in ((path, root), (path.parent.resolve() / path.name, root.resolve())):
        if folder in place.parents:
            return place.relative_to(folder).as_posix()
    raise DDBError(f"{root / table}: {name} is not below {root}")


def read_table(path: Path, columns: list[str]) -> list[dict[str, str]]:
    """Rows of a CSV file. Raises DDBError where it cannot be read, lacks a column, or a row lacks a value."""
    try:
        table = csv_text.read(path)
    except OSError as error:
        raise DDBError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise DDBError(f"{path}: not a CSV table: {error}") from None
    if absent := [name for name in columns if name not in table.columns]:
        raise DDBError(f"{path}: no column {absent[0]!r}; it has {', '.join(table.columns)}")
    for number, row in zip(table.lines, table.rows, strict=True):
        if empty := [name for name in columns if is_missing(row[name])]:
            said = f" ({row[empty[0]]!r})" if row[empty[0]] else ""
            raise DDBError(f"{path}: line {number} has no value in column {empty[0]!r}{said}")
    return table.rows


def align_by_majority(dataset: BiasedDataset) -> BiasedDataset:
    """Mark an image as aligned where each bias attribute has its class's commonest value in the training split.

    Raises DDBError where two values are equally common: then no value is aligned with that class.
    """
    train, usual = dataset["train"], []
    assert train.bias is not None
    for label, name in enumerate(dataset.classes):
        for column, (attribute, values) in enumerate(dataset.bias_attributes.items()):
            counts = np.bincount(train.bias[train.labels == label, column], minlength=len(values))  # (V,)
            if counts.any() and (counts == counts.max()).sum() > 1:
                raise DDBError(f"dataset {dataset.name}: no value of {attribute!r} is the commonest of class {name!r}, "
                               "so none is aligned with it; leave it out of dataset.bias")  # fmt: skip
            usual.append(counts.argmax())
    table = np.array(usual).reshape(len(dataset.classes), -1)  # (C, A)
    splits = {}
    for name, split in dataset.splits.items():
        disagrees = split.bias != table[split.labels]  # (N, A)
        splits[name] = replace(split, aligned=~disagrees.any(axis=1), disagrees=disagrees)
    return replace(dataset, splits=splits)
