"""A classifier's predictions for every image of a data set, in one Parquet file.

    write(path, dataset, {"train": logits, "val": logits, "test": logits})
    table = read(path, "test")                      # pandas
    (table["predicted"] == table["label"]).mean()

Columns: split, path, label, predicted, logits and, with bias labels, aligned, group (numbered as in `ddb.data.groups`)
and bias_<attribute> (its value).
"""

from __future__ import annotations

from pathlib import Path

from ddb.data import BiasedDataset, groups
from ddb.lazy import np, pa, pd, pq


def write(path: Path, dataset: BiasedDataset, logits: dict[str, np.ndarray]) -> None:
    """Write the predictions from `logits`, (N, C) for each split."""
    tables = []
    for name, split in dataset.splits.items():
        columns = {
            "split": [name] * len(split),
            "path": split.paths,
            "label": split.labels,
            "predicted": logits[name].argmax(1),
            "logits": list(logits[name].astype(np.float32)),
        }
        if split.aligned is not None:
            columns |= {"aligned": split.aligned, "group": groups(split)}
        if split.bias is not None:
            columns |= {f"bias_{each}": split.bias[:, i] for i, each in enumerate(dataset.bias_attributes)}
        tables.append(pa.table(columns))
    pq.write_table(pa.concat_tables(tables, promote_options="default"), path)


def read(path: Path, split: str) -> pd.DataFrame:
    """The predictions on one split, row by row; columns that the split has no values for are left out."""
    return pd.read_parquet(path, filters=[("split", "==", split)]).dropna(axis="columns", how="all")
