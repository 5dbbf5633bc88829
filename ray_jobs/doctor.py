"""`ddb doctor`: is this machine ready? Each check is a line with ok, note or FAIL, and what to do about it."""

import os
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from ddb.data import BENCHMARKS, DataMissing, dataset_settings, load_dataset
from ddb.errors import DDBError
from ddb.store import Store
from ray_jobs.cluster import connected

PACKAGES = ("ray", "torch", "torchvision", "diffusers", "deepspeed", "pyarrow", "optuna", "tensorboardX")
NEEDED_MEMORY, NEEDED_DISK = 4e9, 2e9  # bytes, for the demo
SHARED = Path("/dev/shm")
NEEDED_SHARED = 1e9  # bytes: two batches of 64 images at 224 pixels from each of 13 processes


class Check(NamedTuple):
    """One line: `status` is ok, note or FAIL."""

    status: str
    name: str
    detail: str


def checks(store: str) -> Iterator[Check]:
    """All checks, cheap ones first."""
    for package in PACKAGES:
        try:
            yield Check("ok", package, version(package))
        except PackageNotFoundError:
            yield Check("FAIL", package, "not installed: pip install -e .")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        yield Check("ok", "devices", ", ".join(names))
    else:
        yield Check("note", "devices", f"no GPU; {len(os.sched_getaffinity(0))} CPU cores")
    available = psutil.virtual_memory().available
    status = "ok" if available > NEEDED_MEMORY else "FAIL"
    yield Check(status, "memory", f"{available / 1e9:.1f} GB available, {NEEDED_MEMORY / 1e9:.0f} GB needed")
    if SHARED.exists():
        yield _shared_memory(shutil.disk_usage(SHARED).total)
    yield _store(store)
    for name, benchmark in BENCHMARKS.items():
        if not benchmark.places and name != "colored_digits":
            continue  # anyone's own data: only a configuration says where
        try:
            dataset = load_dataset(dataset_settings({"name": name}))
            yield Check("ok", f"data {name}", f"{len(dataset['train'])} training images")
        except DDBError as error:
            yield Check("note" if isinstance(error, DataMissing) else "FAIL", f"data {name}", str(error))
    where = os.environ.get("RAY_ADDRESS") or "local"
    try:
        with connected() as capacity:
            found = f"{capacity.cpus} CPUs, {capacity.gpus} GPUs"
        yield Check("ok", f"Ray ({where})", found)
    except DDBError as error:
        yield Check("FAIL", f"Ray ({where})", str(error))


def _store(path: str) -> Check:
    try:
        store = Store(path)
        store.open_to_write()
    except DDBError as error:
        return Check("FAIL", "store", str(error))
    free = shutil.disk_usage(store.root).free
    status = "ok" if free > NEEDED_DISK else "FAIL"
    return Check(status, "store", f"{store.root} is writable, {free / 1e9:.0f} GB free")


def _shared_memory(size: int) -> Check:
    detail = f"{SHARED} has {size / 1e6:,.0f} MB"
    if size >= NEEDED_SHARED:
        return Check("ok", "shared memory", detail)
    return Check("note", "shared memory", f"{detail}, less than {NEEDED_SHARED / 1e6:,.0f} MB: images are loaded more "
                 "slowly, and NCCL may fail; of a container: docker run --shm-size=2g")  # fmt: skip
