"""Downloading a benchmark: one archive from the internet becomes a folder that is complete or absent.

    fetch("waterbirds", Path("data/waterbirds"), check_counts)

`sources.yaml` says where from; what cannot be downloaded comes with instructions. `curl` downloads, and the next call
continues what was interrupted. Everything unfinished lives in `<root>.download/`; only a folder that `verify` accepted
is renamed to `root`.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal
from zipfile import BadZipFile

from pydantic import Field, field_validator, model_validator

from ddb import yaml_text
from ddb.errors import DDBError
from ddb.settings import Settings, build, unknown
from ddb.store.store import flush

SOURCES = Path(__file__).with_name("sources.yaml")
SILENCE = 30  # seconds without a byte after which a connection is given up
TRIES = 4  # connections per call; the next call continues too
ADDRESS = r"^https?://([\w.-]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?/[!-~]*$"
# Exit codes of curl: a connection that broke off, and an answer that does not continue the part that is here.
BROKEN, OTHER_FILE, HTTP_ERROR = (18, 28, 52, 55, 56, 92), (33, 36), 22
DAMAGED = (shutil.ReadError, tarfile.TarError, BadZipFile, zlib.error, EOFError, RuntimeError)  # the last: encrypted


class Source(Settings):
    """Where a benchmark comes from: an archive at `url`, or `instructions` for placing it by hand."""

    url: str | None = Field(default=None, pattern=ADDRESS, description="address of the archive")
    archive: Literal["tar.gz", "tar", "zip"] | None = Field(default=None, description="its format")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description="its checksum, where known")
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


def fetch(
    name: str, root: Path, verify: Callable[[Path], None], progress: Callable[[int], None] = lambda done: None
) -> Path:
    """Download benchmark `name` and put it at `root`, which must not exist or be an empty folder. Returns `root`.

    `verify(folder)` raises DDBError where the unpacked files are not the data set; `progress` hears the bytes so far.
    Raises DDBError with the instructions where there is nothing to download, and wherever it cannot be finished; `root`
    is then as before.
    """
    sources = load_sources()
    if name not in sources:
        raise DDBError(f"data set {name!r} has no source; {unknown(name, list(sources))}")
    source, target = sources[name], Path(os.path.realpath(root))  # a rename cannot replace a symlink to a folder
    _require_absent(target)
    if source.url is None:
        assert source.instructions is not None
        raise DDBError(source.instructions.rstrip().replace("{root}", str(target)))
    if not hasattr(tarfile, "data_filter"):
        raise DDBError("this Python unpacks archives unsafely; update to 3.10.12, 3.11.4 or newer")
    if not shutil.which("curl"):
        raise DDBError(f"ddb data fetch needs the program curl, which is not here; {_advice(target)}")
    folder = target.with_name(f"{target.name}.download")
    part, done = folder / "part", folder / "archive"
    with _alone(folder) as lock:
        _require_absent(target)
        try:
            if not done.exists():
                _download(source.url, part, lock, progress, target)
                part.rename(done)
            _place(source, done, target, verify)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            shutil.rmtree(folder / "files", ignore_errors=True)
            if not part.exists() and not done.exists():  # nothing to continue from
                shutil.rmtree(folder, ignore_errors=True)
    return Path(root)


def _require_absent(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise DDBError(f"{root} is not a folder")
    if root.exists() and any(root.iterdir()):
        raise DDBError(f"{root}: the data set is already there; remove this folder to fetch it anew")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[IO[str]]:
    """The lock of a download folder; a curl that outlives its parent keeps it, as it inherits the open file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield lock
    except BlockingIOError:
        raise DDBError(f"{folder}: another process is downloading this data set") from None
    except OSError as error:
        raise DDBError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):  # NFS keeps the folder of an open file until now
            folder.rmdir()


def _download(url: str, part: Path, lock: IO[str], progress: Callable[[int], None], root: Path) -> None:
    """Bring the part to its end over several connections. A part is continued only if the file is still the same."""
    etag = part.with_suffix(".etag")
    options = ["--fail", "--location", "--silent", "--show-error", "--retry", "2", "--speed-limit", "1"]
    for attempt in range(TRIES):
        version = etag.read_text().strip() if etag.exists() else ""
        if not version:  # nothing tells whether the rest is of the same file
            part.unlink(missing_ok=True)
        same = ["--continue-at", "-", "--header", f"If-Range: {version}"] if part.exists() else []
        command = ["curl", *options, "--speed-time", str(SILENCE), "--etag-save", etag, *same, "--output", part, url]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, pass_fds=[lock.fileno()])
        try:
            while process.poll() is None:
                progress(part.stat().st_size if part.exists() else 0)
                time.sleep(0.1)
        finally:
            process.kill()  # if the loop was interrupted
        complaint = process.communicate()[1].strip().rpartition("\n")[2]
        if process.returncode == 0:
            return
        if process.returncode in OTHER_FILE or (process.returncode == HTTP_ERROR and "416" in complaint):
            part.unlink(missing_ok=True)
        elif process.returncode not in BROKEN or attempt == TRIES - 1:
            raise DDBError(f"{url}: {complaint.partition(') ')[2] or complaint}; {_advice(root)}")
    raise DDBError(f"{url}: the server sends other files than it began with; {_advice(root)}")


def _place(source: Source, archive: Path, root: Path, verify: Callable[[Path], None]) -> None:
    """Check and unpack the whole download, and rename the result to `root`. What is at fault is removed."""
    try:
        if source.sha256 and (found := _sha256(archive)) != source.sha256:
            raise DDBError(f"has sha256 {found} instead of {source.sha256}")
        files = archive.with_name("files")
        shutil.rmtree(files, ignore_errors=True)  # what a killed process left
        _unpack(archive, source.archive or "", files)
        data = files / source.inside
        if not data.is_dir():
            raise DDBError(f"holds no folder {source.inside!r}")
        try:
            verify(data)
        except DDBError as error:
            raise DDBError(f"is not this data set: {error}") from None
    except DDBError as error:
        archive.unlink()
        raise DDBError(
            f"{source.url}: {error}; the download is deleted, nothing is put in place; {_advice(root)}"
        ) from None
    flush(data)
    os.rename(data, root)


def _unpack(archive: Path, kind: str, folder: Path) -> None:
    """Nothing lands outside the folder: tarfile refuses such an archive; of a zip, shutil omits such members."""
    how: dict[str, Any] = {} if kind == "zip" else {"filter": "data"}
    try:
        shutil.unpack_archive(archive, folder, "gztar" if kind == "tar.gz" else kind, **how)
    except DAMAGED as error:
        raise DDBError(f"is not a whole and safe {kind} archive ({error})") from None


def _advice(root: Path) -> str:
    return f"name a mirror in a file that DDB_SOURCES points to, or place the data set by hand at {root}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
