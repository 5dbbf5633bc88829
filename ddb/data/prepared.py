"""A prepared data set: every image decoded once, resized and kept as a uint8 array that all later stages read.

<directory>/dataset.json          names of the data set, its classes and bias values, notes, and where its files are
<directory>/<split>.npy           (N, S, S, 3) uint8
<directory>/<split>.parquet       path, label, aligned and one column per bias attribute, row by row
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ddb.data.dataset import SPLITS, BiasedDataset, Split
from ddb.data.images import look_at, pages, read_array
from ddb.data.pixels import is_blank, told
from ddb.data.tree import left_out_pages
from ddb.errors import DDBError

MEMORY_SHARE = 0.25  # arrays that are larger than this share of the free memory stay on disk, mapped
SHOWN = 5  # broken files named in an error; `ddb data check` lists all


def write(
    dataset: BiasedDataset,
    directory: Path,
    image_size: int = 0,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write into an existing directory; splits without arrays are decoded from their files at `image_size` pixels.

    The notes name blank images and count pages that are left out. Raises DDBError that names the files that cannot be
    used.
    """
    arrays, rows = {}, []
    for name, split in dataset.splits.items():
        _write_rows(split, directory / f"{name}.parquet", list(dataset.bias_attributes))
        if split.images is not None:
            np.save(directory / f"{name}.npy", split.images)
            continue
        shape = (len(split), image_size, image_size, 3)
        arrays[name] = np.lib.format.open_memmap(directory / f"{name}.npy", mode="w+", dtype=np.uint8, shape=shape)
        rows += [(name, row) for row in range(len(split))]
    files = [dataset[name].file(row) for name, row in rows]
    found = look_at(files, lambda file: (read_array(file, image_size), pages(file)), threads, progress)
    broken, blank, of_file = [], [], {}
    for (name, row), each in zip(rows, found, strict=True):
        if isinstance(each, DDBError):
            broken.append(str(each))
            continue
        path = dataset[name].paths[row]
        arrays[name][row], of_file[path] = each
        if is_blank(Image.fromarray(each[0])):
            blank.append(path)
    for array in arrays.values():
        array.flush()
    if broken:
        more = f"\nand {len(broken) - SHOWN} more: ddb data check {dataset.name}" if len(broken) > SHOWN else ""
        raise DDBError(f"dataset {dataset.name}: {len(broken)} of {len(rows)} images cannot be used\n"
                       + "\n".join(broken[:SHOWN]) + more)  # fmt: skip
    root = dataset["train"].root
    description = {
        "name": dataset.name,
        "classes": dataset.classes,
        "bias_attributes": dataset.bias_attributes,
        "notes": (*dataset.notes, *left_out_pages(of_file), *(told(root, blank) if root else ())),
        "root": None if root is None else str(root),
    }
    (directory / "dataset.json").write_text(json.dumps(description, indent=1))


def _write_rows(split: Split, path: Path, attributes: list[str]) -> None:
    columns = {"path": split.paths, "label": split.labels}
    if split.aligned is not None:
        columns["aligned"] = split.aligned
    for what, values in (("disagrees", split.disagrees), ("bias", split.bias)):  # (N, A) each
        if values is not None:
            columns |= {f"{what}_{key}": values[:, i] for i, key in enumerate(attributes)}
    pq.write_table(pa.table(columns), path)


def read(directory: Path, mapped: bool = False) -> BiasedDataset:
    """What `write` wrote; arrays are read-only, in memory if they are small against it and not `mapped`."""
    directory = Path(directory)
    description = json.loads((directory / "dataset.json").read_text())
    attributes = {key: tuple(values) for key, values in description["bias_attributes"].items()}
    root = None if description["root"] is None else Path(description["root"])
    size = sum((directory / f"{name}.npy").stat().st_size for name in SPLITS)
    mode = "r" if mapped or size > MEMORY_SHARE * psutil.virtual_memory().available else None
    splits = {}
    for name in SPLITS:
        table = pq.read_table(directory / f"{name}.parquet")
        bias, disagrees = (_columns(table, [f"{what}_{key}" for key in attributes]) for what in ("bias", "disagrees"))
        images = np.load(directory / f"{name}.npy", mmap_mode=mode)
        images.flags.writeable = False
        splits[name] = Split(
            images,
            table["label"].to_numpy().copy(),
            table["path"].to_pylist(),
            bias,
            table["aligned"].to_numpy().astype(bool) if "aligned" in table.column_names else None,
            root,
            disagrees,
        )
    classes, notes = tuple(description["classes"]), tuple(description["notes"])
    return BiasedDataset(description["name"], classes, attributes, splits, notes)


def _columns(table: pa.Table, names: list[str]) -> np.ndarray | None:
    """(N, A); None where the table has none of these columns."""
    found = [table[name].to_numpy() for name in names if name in table.column_names]
    return np.stack(found, axis=1) if found else None
