"""A prepared data set: decoded once, kept as memory-mapped uint8 arrays that every later stage reads.

<directory>/dataset.json          names of the data set, its classes and bias values
<directory>/<split>.npy           (N, H, W, 3) uint8
<directory>/<split>.parquet       path, label, aligned and one column per bias attribute, row by row
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ddb.data.dataset import SPLITS, BiasedDataset, Split


def write(dataset: BiasedDataset, directory: Path) -> None:
    """Write into an existing directory."""
    description = {"name": dataset.name, "classes": dataset.classes, "bias_attributes": dataset.bias_attributes}
    (directory / "dataset.json").write_text(json.dumps(description, indent=1))
    for name, split in dataset.splits.items():
        np.save(directory / f"{name}.npy", split.images)
        columns = {"path": split.paths, "label": split.labels}
        if split.aligned is not None:
            columns["aligned"] = split.aligned
        if split.bias is not None:
            columns |= {f"bias_{key}": split.bias[:, i] for i, key in enumerate(dataset.bias_attributes)}
        pq.write_table(pa.table(columns), directory / f"{name}.parquet")


def read(directory: Path) -> BiasedDataset:
    """What `write` wrote; images are memory-mapped, read-only."""
    directory = Path(directory)
    description = json.loads((directory / "dataset.json").read_text())
    attributes = {key: tuple(values) for key, values in description["bias_attributes"].items()}
    splits = {}
    for name in SPLITS:
        table = pq.read_table(directory / f"{name}.parquet")
        known = set(table.column_names)
        bias = [table[f"bias_{key}"].to_numpy() for key in attributes if f"bias_{key}" in known]
        splits[name] = Split(
            np.load(directory / f"{name}.npy", mmap_mode="r"),
            table["label"].to_numpy().copy(),
            table["path"].to_pylist(),
            np.stack(bias, axis=1) if bias else None,
            table["aligned"].to_numpy().astype(bool) if "aligned" in known else None,
        )
    return BiasedDataset(description["name"], tuple(description["classes"]), attributes, splits)
