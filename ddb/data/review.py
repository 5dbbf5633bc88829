"""A person's verdicts on single images: a CSV with the columns file_name, verdict and, to relabel, new_label.

    file_name,verdict,new_label
    cat/7.png,drop,
    cat/9.png,relabel,dog
    dog/3.png,keep,

`file_name` is relative to the data set's folder, as in the list of `ddb audit`. `keep` changes nothing: the label is
right. Other columns are ignored, so that the list itself can be edited.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ddb import csv_text
from ddb.data.dataset import BiasedDataset
from ddb.errors import DDBError
from ddb.lazy import np, pd

VERDICTS = ("keep", "relabel", "drop")


def apply_review(dataset: BiasedDataset, path: str) -> BiasedDataset:
    """The data set after relabelling and dropping. Raises DDBError, naming the file, if a row has no meaning."""
    table = _read(path, dataset)
    known = {each for split in dataset.splits.values() for each in split.paths}
    if strange := [name for name in table.index if name not in known]:
        raise DDBError(f"dataset.review: {path}: no image {strange[0]} in the data set")
    splits = {}
    for name, split in dataset.splits.items():
        rows, labels = table.reindex(split.paths), split.labels.copy()
        other = (rows["verdict"] == "relabel").to_numpy()  # (N,)
        labels[other] = [dataset.classes.index(label) for label in rows["new_label"][other]]
        splits[name] = replace(split, labels=labels).take(np.flatnonzero(rows["verdict"] != "drop"))
    counts = table["verdict"].value_counts()
    note = ", ".join(f"{counts.get(each, 0)} {each}" for each in VERDICTS)
    return replace(dataset, splits=splits, notes=(*dataset.notes, f"verdicts of {path}: {note}"))


def _read(path: str, dataset: BiasedDataset) -> pd.DataFrame:
    try:
        found = csv_text.read(Path(path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DDBError(f"dataset.review: {path} cannot be read: {reason}") from None
    if missing := [name for name in ("file_name", "verdict") if name not in found.columns]:
        raise DDBError(f"dataset.review: {path} has no column {missing[0]}")
    table = pd.DataFrame(found.rows, columns=found.columns)
    table = table[table["verdict"] != ""]
    if twice := [*table["file_name"][table["file_name"].duplicated()]]:
        raise DDBError(f"dataset.review: {path} has two rows for {twice[0]}")
    table = table.assign(new_label=table.get("new_label", "")).set_index("file_name")
    for image, row in table.iterrows():
        if row["verdict"] not in VERDICTS:
            raise DDBError(f"dataset.review: {path}: {image}: verdict {row['verdict']!r} is not one of {VERDICTS}")
        if row["verdict"] == "relabel" and row["new_label"] not in dataset.classes:
            classes = ", ".join(dataset.classes)
            raise DDBError(f"dataset.review: {path}: {image}: new_label {row['new_label']!r} is not one of {classes}")
    return table
