"""A prepared data set: every image decoded once, resized and kept as a uint8 array that all later stages read.

<directory>/dataset.json          names of the data set, its classes and bias values, notes, and where its files are
<directory>/<split>.npy           (N, S, S, 3) uint8
<directory>/<split>.parquet       path, label, aligned and one column per bias attribute, row by row
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ddb.data.dataset import SPLITS, BiasedDataset, Split
from ddb.data.images import pages, read_array
from ddb.data.pixels import is_blank, told
from ddb.data.tree import left_out_pages
from ddb.errors import DDBError

MEMORY_SHARE = 0.25  # arrays that are larger than this share of the free memory stay on disk, mapped
SHOWN = 5  # broken files named in an error; `ddb data check` lists all
CHUNK = 256  # images decoded between two looks at the progress


def write(
    dataset: BiasedDataset,
    directory: Path,
    image_size: int | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write into an existing directory; splits without arrays are decoded from their files at `image_size` pixels.

    Pillow decodes and resizes outside Python's lock, so threads use as many cores. The notes name blank images and
    count pages that are left out. Raises DDBError that names the files that cannot be used.
    """
    total, done = sum(map(len, dataset.splits.values())), 0
    broken, blank, of_file = [], [], {}
    for name, split in dataset.splits.items():
        _write_rows(split, directory / f"{name}.parquet", list(dataset.bias_attributes))
        if split.images is not None:
            np.save(directory / f"{name}.npy", split.images)
            continue
        assert image_size is not None
        shape = (len(split), image_size, image_size, 3)
        array = np.lib.format.open_memmap(directory / f"{name}.npy", mode="w+", dtype=np.uint8, shape=shape)
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(split), CHUNK):
                rows = range(start, min(start + CHUNK, len(split)))
                for row, found in zip(rows, pool.map(partial(_decode, split, image_size), rows), strict=True):
                    if isinstance(found, DDBError):
                        broken.append(str(found))
                        continue
                    array[row], of_file[split.paths[row]] = found
                    if is_blank(Image.fromarray(array[row])):
                        blank.append(split.paths[row])
                done += len(rows)
                progress(done, total)
        array.flush()
    if broken:
        more = f"\nand {len(broken) - SHOWN} more: ddb data check {dataset.name}" if len(broken) > SHOWN else ""
        raise DDBError(f"dataset {dataset.name}: {len(broken)} of {total} images cannot be used\n"
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


def _decode(split: Split, image_size: int, row: int) -> tuple[np.ndarray, int] | DDBError:
    """The picture, and how many pages its file has."""
    path = split.file(row)
    try:
        return read_array(path, image_size), pages(path)
    except DDBError as error:
        return error


def _write_rows(split: Split, path: Path, attributes: list[str]) -> None:
    columns = {"path": split.paths, "label": split.labels}
    if split.aligned is not None:
        columns["aligned"] = split.aligned
    if split.disagrees is not None:
        columns |= {f"disagrees_{key}": split.disagrees[:, i] for i, key in enumerate(attributes)}
    if split.bias is not None:
        columns |= {f"bias_{key}": split.bias[:, i] for i, key in enumerate(attributes)}
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
        known = set(table.column_names)
        bias = [table[f"bias_{key}"].to_numpy() for key in attributes if f"bias_{key}" in known]
        disagrees = [table[f"disagrees_{key}"].to_numpy() for key in attributes if f"disagrees_{key}" in known]
        images = np.load(directory / f"{name}.npy", mmap_mode=mode)
        images.flags.writeable = False
        splits[name] = Split(
            images,
            table["label"].to_numpy().copy(),
            table["path"].to_pylist(),
            np.stack(bias, axis=1) if bias else None,
            table["aligned"].to_numpy().astype(bool) if "aligned" in known else None,
            root,
            np.stack(disagrees, axis=1).astype(bool) if disagrees else None,
        )
    classes, notes = tuple(description["classes"]), tuple(description["notes"])
    return BiasedDataset(description["name"], classes, attributes, splits, notes)
