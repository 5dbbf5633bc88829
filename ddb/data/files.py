"""Image files on disk: where a data set lies, which files it has, and a fingerprint of what they hold.

A result must belong to the images that it was computed from, so a data stage's key holds the fingerprint: a hash over
every row (split, path, label, bias) and the content of its file. Contents are hashed once; afterwards a file of which
nothing has changed is not read again (the cache is in DDB_CACHE, else the user's cache folder). Size and time of
modification alone do not show a change: files that trade places, and copies with `rsync -t` or out of an archive, keep
both. So the inode, which a renamed file takes along, and the time of its last change, which nobody can set, count too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import platformdirs
from pydantic import Field

from ddb.data.dataset import SPLITS, BiasedDataset, DatasetConfig, Split
from ddb.data.images import is_image_name
from ddb.data.tree import is_clutter, kind_of
from ddb.errors import DDBError
from ddb.lazy import np, pa, pq
from ddb.settings import NotHashed

EMPTY = hashlib.blake2b(digest_size=16).digest()  # of a file without content
NUMBER = re.compile(r"-?[0-9]+")
SURROGATE = re.compile("[\ud800-\udfff]")  # stands for a byte of a file name that is not UTF-8
SETTLED_NS = 2_000_000_000  # a file's digest is remembered once it has been left alone for so long


class Status(NamedTuple):
    """By what a change of a file shows without reading it."""

    bytes: int
    modified_ns: int
    changed_ns: int
    inode: int


class DataMissing(DDBError):
    """The files of a data set are not where they are looked for; the message says where, and how to get them."""


class FilesConfig(DatasetConfig):
    """Settings that every data set of files has."""

    tables: ClassVar[tuple[str, ...]] = ()  # files below the root that are read beside the images
    root: Annotated[Path | None, NotHashed()] = Field(
        default=None, description="folder of the files; null: looked for below DDB_DATA, else data/"
    )
    image_size: int = Field(
        default=64, ge=8, description="pixels at which the CDPM, and classifiers by default, see images"
    )


def data_home() -> Path:
    """The folder below which data sets are looked for: DDB_DATA, else `data` in the working directory."""
    return Path(os.environ.get("DDB_DATA") or "data")


def locate(config: FilesConfig, places: tuple[str, ...], marker: str = ".") -> Path:
    """The folder of a data set: its `root`, else the first of `places` below the data home that holds `marker`.

    Raises DataMissing where there is none.
    """
    candidates = [config.root] if config.root else [data_home() / place for place in places]
    for candidate in candidates:
        if candidate.is_dir() and (config.root or (candidate / marker).exists()):
            return candidate.absolute()
    if config.root and config.root.exists():
        raise DDBError(f"dataset.root: {config.root} is a file, not a folder; an archive must be unpacked first")
    looked = " or ".join(str(path) for path in candidates)
    hint = "" if config.root else f"ddb data fetch {config.name}; "  # a folder that was named is the user's to mend
    raise DataMissing(
        f"dataset {config.name}: not found at {looked} ({hint}dataset.root or DDB_DATA can name another place)"
    )


def folders(directory: Path) -> list[str]:
    """Names of the folders in `directory`, sorted, without clutter. Raises DDBError where it is not there."""
    return [entry.name for entry in _entries(directory) if kind_of(entry) == "folder"]


def images(directory: Path, root: Path) -> list[str]:
    """Paths below `root` of the image files right in `directory`, sorted, so that no file system's order shows.

    Raises DDBError where the directory is not there.
    """
    names = [entry.name for entry in _entries(directory) if is_image_name(entry.name) and kind_of(entry) == "file"]
    below = directory.relative_to(root).as_posix()
    return [name if below == "." else f"{below}/{name}" for name in names]


def _entries(directory: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(directory) as entries:
            return sorted((e for e in entries if not is_clutter(e.name)), key=lambda entry: entry.name)
    except OSError as error:
        raise DDBError(f"{directory}: {error.strerror}") from None


def distinct(values) -> tuple[str, ...]:
    """The distinct values in order: by number where all are numbers, else by text."""
    found = set(values)
    numeric = all(NUMBER.fullmatch(value) for value in found)
    return tuple(sorted(found, key=lambda value: (int(value) if numeric else 0, value)))


def listed(
    root: Path,
    paths: list[str],
    labels: list[int] | np.ndarray,
    bias: np.ndarray | None = None,
    aligned: np.ndarray | None = None,
    disagrees: np.ndarray | None = None,
) -> Split:
    """A Split of files that are not decoded, its rows sorted by path. Raises DDBError for a name that is not UTF-8."""
    if strange := next(filter(SURROGATE.search, paths), None):
        raise DDBError(f"{root}: the file name {strange!r} is not UTF-8; rename it")
    order = sorted(range(len(paths)), key=paths.__getitem__)
    split = Split(None, np.array(labels, np.int64), paths, bias, aligned, root, disagrees)
    return split.take(np.array(order, np.int64))


def fingerprint(dataset: BiasedDataset) -> str:
    """A hash of all rows and of what their files hold; a file that is missing counts as such. 32 hex digits."""
    paths = sorted({path for name in SPLITS for path in dataset[name].paths})
    root = dataset["train"].root
    assert root is not None
    digests = dict(zip(paths, file_digests(root, paths), strict=True))
    whole = hashlib.blake2b(digest_size=16)
    for name in SPLITS:
        split = dataset[name]
        for row, path in enumerate(split.paths):
            bias = "" if split.bias is None else ",".join(map(str, split.bias[row]))
            aligned = "" if split.aligned is None else int(split.aligned[row])
            whole.update(f"{name}\0{path}\0{split.labels[row]}\0{bias}\0{aligned}\0".encode("utf-8", "surrogateescape"))
            whole.update(digests[path])
    return whole.hexdigest()


def file_digests(root: Path, paths: list[str]) -> list[bytes]:
    """Content hash, 16 bytes, of each file below `root`; empty bytes for one that is not there."""
    cache = _cache_path(root)
    known, now = _read_cache(cache), time.time_ns()
    there = {path: status for path in paths if (status := _stat(root / path))}
    stale = {path: status for path, status in there.items() if known.get(path, (None,))[0] != status}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        fresh = dict(zip(stale, pool.map(_digest, (root / path for path in stale)), strict=True))
    # The clock of a file system ticks, up to 2 s apart: a second change within the same tick would not show.
    settled = {path: (status, fresh[path]) for path, status in stale.items() if now - status.changed_ns > SETTLED_NS}
    if settled:
        _write_cache(cache, known | settled)
    return [fresh.get(path) or known[path][1] if path in there else b"" for path in paths]


def content_of(root: Path, paths: list[str]) -> str:
    """One hash of the names and contents of these files below `root`."""
    parts = [f"{path} {digest.hex()}" for path, digest in zip(paths, file_digests(root, paths), strict=True)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _digest(path: Path) -> bytes:
    whole = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb") as file:
            while part := file.read(1 << 20):
                whole.update(part)
    except OSError as error:
        raise DDBError(f"{path}: {error.strerror}") from None
    return whole.digest()


def _stat(path: Path) -> Status | None:
    """None where there is no such file."""
    with contextlib.suppress(OSError):
        found = os.stat(path)
        if stat.S_ISREG(found.st_mode):
            return Status(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
    return None


def _cache_path(root: Path) -> Path:
    home = Path(os.environ.get("DDB_CACHE") or platformdirs.user_cache_path("ddb"))
    return home / "digests" / f"{hashlib.blake2b(str(root).encode(), digest_size=8).hexdigest()}.parquet"


def _read_cache(path: Path) -> dict[str, tuple[Status, bytes]]:
    """Path -> status and digest; empty where the cache is absent, damaged or of an earlier form."""
    try:
        columns = pq.read_table(path).to_pydict()
        stats = map(Status, *(columns[name] for name in Status._fields))
        return dict(zip(columns["path"], zip(stats, columns["digest"], strict=True), strict=True))
    except (OSError, pa.ArrowInvalid, KeyError):
        return {}


def _write_cache(path: Path, known: dict[str, tuple[Status, bytes]]) -> None:
    """Best effort: where the folder cannot be written, contents are hashed again next time."""
    stats, digests = zip(*known.values(), strict=True)
    columns: dict[str, Any] = dict(zip(Status._fields, zip(*stats, strict=True), strict=True))
    columns |= {"path": list(known), "digest": digests, "inode": pa.array(columns["inode"], pa.uint64())}
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), temporary)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
