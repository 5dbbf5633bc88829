"""Features as Parquet: one file per split with the columns path, label and one fixed-size list for each layer.

    write(split, {"blocks.4": (N, 224), "final": (N, 1280)}, directory / "train.parquet")
    dataset = with_features(dataset, directory, "final")       # the same data set with vectors instead of pixels

pandas, Ray Data and Hugging Face `datasets` open the files.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ddb.data import BiasedDataset, Split
from ddb.errors import DDBError
from ddb.lazy import np, pa, pq

NOT_LAYERS = ("path", "label")


def write(split: Split, features: dict[str, np.ndarray], path: Path) -> None:
    """Write `features`, layer -> (N, D) float32, whose row i belongs to image i of the split."""
    columns = {"path": pa.array(split.paths, pa.string()), "label": pa.array(split.labels)}
    pq.write_table(pa.table(columns | {layer: column(values) for layer, values in features.items()}), path)


def layers(directory: Path) -> list[str]:
    """The layers of a features stage, in their order."""
    return [name for name in pq.read_schema(directory / "train.parquet").names if name not in NOT_LAYERS]


def column(values: np.ndarray) -> pa.FixedSizeListArray:
    """(N, D) float32 as a column of lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])


def vectors(values: pa.ChunkedArray) -> np.ndarray:
    """The inverse of `column`: (N, D) float32, a copy."""
    return np.concatenate([chunk.flatten().to_numpy().reshape(len(chunk), -1) for chunk in values.chunks])


def with_features(dataset: BiasedDataset, directory: Path, layer: str | None = None) -> BiasedDataset:
    """`dataset` with the vectors of a layer, (N, D) float32, as its `images`; None: the last layer.

    Raises DDBError if the stage does not contain the layer, or if its rows are not the images in the same order.
    """
    known = layers(directory)
    layer = layer or known[-1]
    if layer not in known:
        raise DDBError(f"amplifier.layer: {layer!r} is not among the encoded layers: {', '.join(known)}")
    splits = {}
    for name, split in dataset.splits.items():
        table = pq.read_table(directory / f"{name}.parquet", columns=["path", layer])
        if table["path"].to_pylist() != split.paths:
            raise DDBError(f"{directory}: the rows of {name}.parquet are not the {name} images of {dataset.name}")
        splits[name] = replace(split, images=vectors(table[layer]))
    return replace(dataset, splits=splits)
