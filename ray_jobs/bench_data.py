"""`ddb data bench`: what reading a data set of files costs, against a bare Pillow loop; each pair measured in one run.

Preparing (list, decode, resize, keep) alternates with as many processes that only open and resize the same training
images with Pillow. Then the time to read the prepared arrays back, and to list and fingerprint folders of two sizes.
"""

import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from ddb.data import BiasedDataset, FilesConfig, fingerprint, load_dataset, prepared
from ddb.data.files import SETTLED_NS
from ddb.data.folder import FolderConfig
from ddb.record import git_state


def bench_data(config: FilesConfig, rounds: int, small_files: int) -> dict[str, Any]:
    """All measurements as plain numbers, in seconds. Raises DataMissing where the data set is not here."""
    dataset = load_dataset(config)
    train = dataset["train"]
    only_train = BiasedDataset(dataset.name, dataset.classes, dataset.bias_attributes, {"train": train})
    paths, cpus = [str(train.root / path) for path in train.paths], os.cpu_count()
    times: dict[str, list[float]] = {"pillow": [], "prepare": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared.write(dataset, folder, config.image_size, cpus)
        began = time.perf_counter()
        images = prepared.read(folder)["train"].images
        second_use = time.perf_counter() - began
        assert len(images) == len(train)
        for _ in range(rounds):
            times["pillow"].append(_timed(_pillow_loop, paths, config.image_size, cpus))
            times["prepare"].append(_timed(prepared.write, only_train, folder, config.image_size, cpus))
    return {
        "dataset": dataset.name,
        "images": len(train),
        "image_size": config.image_size,
        "processes_or_threads": cpus,
        "git": git_state(),
        "seconds": times,
        "prepare_to_pillow": median(times["prepare"]) / median(times["pillow"]),
        "second_use": second_use,
        "fingerprint": [_bench_fingerprint(number) for number in (small_files // 4, small_files)],
    }


def _timed(function, *arguments) -> float:
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


def _pillow_loop(paths: list[str], size: int, processes: int) -> None:
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(_pillow, np.array_split(paths, processes), [size] * processes))


def _pillow(paths: np.ndarray, size: int) -> None:
    for path in paths:
        with Image.open(path) as image:
            np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def _bench_fingerprint(number: int) -> dict[str, float | int]:
    """Seconds to list and fingerprint `number` small files in ten classes, at first and once they are known."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "images"
        for label in range(10):
            (root / str(label)).mkdir(parents=True)
            for i in range(number // 10):
                (root / str(label) / f"{i:06d}.png").write_bytes(b"%d" % (label * number + i))
        config, before = FolderConfig(root=root), os.environ.get("DDB_CACHE")
        os.environ["DDB_CACHE"] = name
        time.sleep(1e-9 * SETTLED_NS)  # a digest of a file that is newer is not remembered
        try:
            first, again = (_timed(lambda: fingerprint(load_dataset(config))) for _ in range(2))
        finally:
            os.environ.pop("DDB_CACHE") if before is None else os.environ.update(DDB_CACHE=before)
        return {"files": number, "first": first, "again": again}
