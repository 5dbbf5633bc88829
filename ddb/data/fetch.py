"""Downloading a benchmark: one archive from the internet becomes a folder that is complete or absent.

    fetch("waterbirds", Path("data/waterbirds"), check_counts)

`sources.yaml` says where from; what cannot be downloaded comes with instructions. Everything unfinished lives in
`<root>.download/`: `<file>.part`, and `<file>.json` with the version of the file that these bytes belong to, from which
the next try continues. Only a folder that `verify` accepted is renamed to `root`.
"""

import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from pydantic import Field, field_validator, model_validator

from ddb import yaml_text
from ddb.data.extract import BadArchiveError, extract, require_safe_tar
from ddb.errors import DDBError
from ddb.settings import Settings, build, unknown
from ddb.store.store import flush

SOURCES = Path(__file__).with_name("sources.yaml")
CHUNK = 1 << 18  # bytes per read; what a broken connection may lose
TIMEOUT = 30.0  # seconds without a byte
RETRIES = 3  # per call; the next call continues too
BACKOFF = 1.0  # seconds before the first retry, doubled before each further one
SPACE = 2.5  # disk needed per byte of the archive: itself, and what is unpacked from it
ADDRESS = r"^https?://([\w.-]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?/[!-~]*$"  # what urllib can open


class Source(Settings):
    """Where a benchmark comes from: an archive at `url`, or `instructions` for placing it by hand."""

    url: str | None = Field(default=None, pattern=ADDRESS, description="address of the archive")
    archive: Literal["tar.gz", "tar", "zip"] | None = Field(default=None, description="its format")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description="its checksum, where known")
    bytes: int | None = Field(default=None, gt=0, description="its size, where known")
    inside: str = Field(default="", description="folder within the archive that becomes the data set's folder")
    instructions: str | None = Field(default=None, description="what to place by hand; {root} is the data set's folder")

    @field_validator("inside")
    @classmethod
    def _stays_within(cls, inside: str) -> str:
        if inside.startswith("/") or ".." in PurePosixPath(inside).parts:
            raise ValueError("must be a folder within the archive")
        return inside

    @model_validator(mode="after")
    def _is_usable(self) -> "Source":
        if self.url is None and not self.instructions:
            raise ValueError("needs a url or instructions")
        if self.url is not None and self.archive is None:
            raise ValueError("a url needs archive: tar.gz, tar or zip")
        return self


def load_sources() -> dict[str, Source]:
    """Source of each benchmark, DDB_SOURCES laid over the built-in file. Raises DDBError naming file and mistake."""
    entries = _read_entries(SOURCES)
    sources = {name: build(Source, entry, f"{SOURCES}: {name}") for name, entry in entries.items()}
    if mirror := os.environ.get("DDB_SOURCES"):
        for name, entry in _read_entries(Path(mirror)).items():
            if name not in entries:
                raise DDBError(f"{mirror} (DDB_SOURCES): {name!r} is unknown; {unknown(str(name), list(entries))}")
            sources[name] = build(Source, {**entries[name], **entry}, f"{mirror} (DDB_SOURCES): {name}")
    return sources


def _read_entries(path: Path) -> dict[str, dict[str, Any]]:
    entries = yaml_text.read_file(path, "data sources")
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise DDBError(f"data sources {path}: must hold entries such as 'waterbirds: {{url: ...}}'")
    return entries


def silent(done: int, total: int | None) -> None:
    """The progress report that says nothing."""


def fetch(
    name: str, root: Path, verify: Callable[[Path], None], progress: Callable[[int, int | None], None] = silent
) -> Path:
    """Download benchmark `name` and put it at `root`, which must not exist or be an empty folder. Returns `root`.

    `verify(folder)` raises DDBError where the unpacked files are not the data set; `progress(done, total)` hears bytes,
    total None where the server does not say. Raises DDBError with the instructions where there is nothing to download,
    and wherever it cannot be finished; `root` is then as before, and the next call continues a broken download.
    """
    sources = load_sources()
    if name not in sources:
        raise DDBError(f"data set {name!r} has no source; {unknown(name, list(sources))}")
    source, target = sources[name], Path(os.path.realpath(root))  # a rename cannot replace a symlink to a folder
    _require_absent(target)
    if source.url is None:
        assert source.instructions is not None
        raise DDBError(source.instructions.rstrip().replace("{root}", str(target)))
    if source.archive != "zip":
        require_safe_tar()
    with _alone(target.with_name(f"{target.name}.download")) as folder:
        _require_absent(target)
        file = PurePosixPath(urlsplit(source.url).path).name or f"archive.{source.archive}"
        partial = Partial(folder / f"{file}.part", source.url)
        try:
            if not partial.state.get("complete"):
                _download(source, partial, target, progress)
            _place(source, partial, folder / "files", target, verify)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            shutil.rmtree(folder / "files", ignore_errors=True)
            if not partial.path.exists():  # nothing to continue from
                shutil.rmtree(folder, ignore_errors=True)
    return Path(root)


def _require_absent(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise DDBError(f"{root} is not a folder")
    if root.exists() and any(root.iterdir()):
        raise DDBError(f"{root}: the data set is already there; remove this folder to fetch it anew")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """The download folder, for one process at a time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise DDBError(f"{folder}: another process is downloading this data set") from None
    except OSError as error:
        raise DDBError(f"{folder}: cannot be written: {error.strerror}") from None
    try:
        yield folder
    finally:
        lock.release()
        with contextlib.suppress(OSError):  # NFS keeps the folder of an open file until now
            folder.rmdir()


class Partial:
    """A download in progress: the bytes so far, and beside them which version of which address they belong to.

    The state is written before the first byte and removed after the last, so bytes never meet a state not theirs.
    """

    def __init__(self, path: Path, url: str):
        self.path, self._url, self._state_path = path, url, path.with_suffix(".json")
        self.state: dict[str, Any] = {}  # validator: str | None, total: int | None, complete: bool
        with contextlib.suppress(OSError, ValueError):
            self.state = json.loads(self._state_path.read_text())
        if self.state.get("url") != url or not path.exists():
            self.discard()

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def begin(self, validator: str | None, total: int | None) -> None:
        """Start from nothing with this version of the file."""
        self.discard()
        self._save({"url": self._url, "validator": validator, "total": total, "complete": False})

    def append(self, chunk: bytes) -> None:
        with _writing(self.path), open(self.path, "ab") as file:
            file.write(chunk)

    def finish(self) -> None:
        self._save({**self.state, "complete": True})

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)
        self.state = {}

    def _save(self, state: dict[str, Any]) -> None:
        temporary = self._state_path.with_suffix(".new")
        with _writing(temporary):
            temporary.write_text(json.dumps(state))
            os.replace(temporary, self._state_path)
        self.state = state


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # else it would pass for a broken connection, which is an OSError too
        raise DDBError(f"{path}: cannot be written: {error.strerror}") from None


def _download(source: Source, partial: Partial, root: Path, progress: Callable[[int, int | None], None]) -> None:
    """Bring the part to its end, over as many connections as RETRIES allows."""
    for attempt in range(RETRIES + 1):
        try:
            _receive(source, partial, progress)
            return partial.finish()
        except (OSError, http.client.HTTPException) as error:
            reason, transient = _explain(error)
            # A host that was never reached is told at once: nodes without internet would wait for every time-out.
            if attempt == RETRIES or not transient or (attempt == 0 and type(error) is URLError):
                raise DDBError(f"{source.url}: {reason}; {_advice(root)}") from None
            if isinstance(error, HTTPError) and error.code == 416:  # no such range: the part is not of this file
                partial.discard()
        time.sleep(BACKOFF * 2**attempt)


def _receive(source: Source, partial: Partial, progress: Callable[[int, int | None], None]) -> None:
    """One connection: append what comes. Raises OSError or HTTPException where the file did not become whole."""
    validator = partial.state.get("validator")
    have = partial.size if validator else 0  # else nothing tells whether the rest is of the same file
    if have and have == partial.state["total"]:
        return
    headers = {"User-Agent": "ddb-on-ray"}
    if have and validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    assert source.url is not None
    request = urllib.request.Request(source.url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        current = _validator(response.headers)
        if response.status == 206:
            sent = re.match(r"bytes (\d+)-\d+/(\d+)$", response.headers["Content-Range"] or "")
            if not sent or int(sent[1]) != have or current not in (None, validator):
                partial.discard()  # a server that knows no If-Range
                raise ConnectionError("the server sent a part of another file")
            total = int(sent[2])
        else:
            have, total = 0, response.length  # None where the server does not say
            partial.begin(current, total)
        _require_space(partial.path.parent, total or source.bytes or 0, have)
        progress(have, total)
        while chunk := response.read(CHUNK):
            partial.append(chunk)
            have += len(chunk)
            progress(have, total)
    if total not in (None, have):
        raise ConnectionError(f"the connection broke after {have:,} of {total:,} bytes")


def _validator(headers: Message) -> str | None:
    """What names this version of the file. A weak ETag may stand for different bytes."""
    tag = headers["ETag"] or ""
    return tag if tag.startswith('"') else headers["Last-Modified"]


def _explain(error: Exception) -> tuple[str, bool]:
    """What to say of a failed connection, and whether another one may do better."""
    if isinstance(error, HTTPError):
        error.close()
        return f"HTTP {error.code} {error.reason}", error.code in (408, 416, 429) or error.code >= 500
    reason = error.reason if isinstance(error, URLError) else error
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__, True


def _require_space(folder: Path, total: int, have: int) -> None:
    needed, free = SPACE * total - have, shutil.disk_usage(folder).free
    if needed > free:
        raise DDBError(f"{folder}: not enough disk space: {needed / 1e9:.2f} GB to download and unpack the archive, "
                       f"{free / 1e9:.2f} GB free")  # fmt: skip


def _place(source: Source, partial: Partial, files: Path, root: Path, verify: Callable[[Path], None]) -> None:
    """Check and unpack the whole download, and rename the result to `root`."""
    if source.bytes not in (None, partial.size):
        raise _refusal(source, partial, root, f"has {partial.size:,} bytes instead of {source.bytes:,}")
    if source.sha256 and (found := _sha256(partial.path)) != source.sha256:
        raise _refusal(source, partial, root, f"has sha256 {found} instead of {source.sha256}")
    shutil.rmtree(files, ignore_errors=True)  # what a killed process left
    assert source.archive is not None
    try:
        extract(partial.path, source.archive, source.inside, files)
    except BadArchiveError as error:
        raise _refusal(source, partial, root, str(error)) from None
    try:
        verify(files)
    except DDBError as error:
        raise _refusal(source, partial, root, f"is not this data set: {error}") from None
    with _writing(root):
        flush(files)
        os.rename(files, root)


def _refusal(source: Source, partial: Partial, root: Path, problem: str) -> DDBError:
    """The download is at fault: remove it, so that the next call starts anew."""
    partial.discard()
    return DDBError(f"{source.url}: {problem}; the download is deleted, nothing is put in place; {_advice(root)}")


def _advice(root: Path) -> str:
    return f"name a mirror in a file that DDB_SOURCES points to, or place the data set by hand at {root}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
