"""Archives from the internet, unpacked so that nothing lands outside the folder and nothing damaged passes as whole.

    extract(Path("master.zip"), "zip", "BAR-master", Path("bar.new"))  # BAR-master/train/x.jpg -> bar.new/train/x.jpg

A name that is absolute or goes up, a link that leads out, a device: the whole archive is refused. tarfile's own `data`
filter runs as well, but old Pythons have known ways around it, and it silently renames absolute members.
"""

import errno
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ddb.errors import DDBError

BLOCK = 512  # bytes of a tar header
CHUNK = 1 << 20

# What tarfile and zipfile raise on bytes that are not what they should be (RuntimeError: an encrypted zip)
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError)
DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE}


class BadArchiveError(DDBError):
    """The archive itself is at fault; unpacking it again would fail again."""


def require_safe_tar() -> None:
    """Raises DDBError where this Python cannot unpack a tar archive safely."""
    if not hasattr(tarfile, "data_filter"):
        raise DDBError("this Python unpacks tar archives unsafely; update to 3.10.12, 3.11.4 or any 3.12 and later")


def extract(archive: Path, kind: str, inside: str, folder: Path) -> None:
    """Unpack what is below `inside` ("" for all) of a `kind` (tar.gz, tar, zip) archive into `folder`, which is new.

    Raises BadArchiveError where the archive is damaged, cut short, unsafe or without `inside`, and DDBError where the
    disk is full or refuses. `folder` may then hold a part.
    """
    folder.mkdir(parents=True)
    unpack = _unpack_zip if kind == "zip" else _unpack_tar
    try:
        unpack(archive, kind, PurePosixPath(inside).parts, folder)
    except DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadArchiveError(f"not a whole {kind} archive ({reason})") from None
    except OSError as error:
        if error.errno in DISK_FAULTS:
            raise DDBError(f"{folder}: cannot be written: {error.strerror}") from None
        raise BadArchiveError(f"cannot be unpacked: {error}") from None
    if not any(folder.iterdir()):
        raise BadArchiveError(f"holds no folder {inside!r}" if inside else "is empty")


def _unpack_tar(archive: Path, kind: str, inside: tuple[str, ...], folder: Path) -> None:
    files, links = set(), set()  # names below `folder`, as tuples of parts
    with tarfile.open(archive, "r:gz" if kind == "tar.gz" else "r:") as tar:
        for member in tar:
            name = _below(_parts(member.name), inside)
            if not name:
                continue
            _refuse_if(any(name[:depth] in links for depth in range(1, len(name))), member.name, "lies below a link")
            target = member.linkname
            if member.issym():
                _refuse_if(_leads_out(name, target), member.name, f"is a link to {target}")
                links.add(name)
            elif member.islnk():
                origin = _below(_parts(target), inside)
                _refuse_if(origin not in files - links, member.name, f"is a link to {target}")
                target = "/".join(origin)
            else:
                _refuse_if(not (member.isfile() or member.isdir()), member.name, "is neither a file nor a folder")
            tar.extract(member.replace(name="/".join(name), linkname=target, deep=False), folder, filter="data")
            if not member.isdir():
                files.add(name)
        _require_end(tar)


def _require_end(tar: tarfile.TarFile) -> None:
    """tarfile takes a cut or a damaged header for the end of the archive, and leaves gzip's checksum unread."""
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(BLOCK) != bytes(BLOCK):
        raise tarfile.ReadError("its end is missing")
    while tar.fileobj.read(CHUNK):
        pass


def _leads_out(name: tuple[str, ...], target: str) -> bool:
    """Whether a symlink at `name` may point outside; a `..` that is not leading may follow a link, so it is refused."""
    parts = PurePosixPath(target).parts
    ups = next((i for i, part in enumerate(parts) if part != ".."), len(parts))
    return not parts or target.startswith("/") or ".." in parts[ups:] or ups >= len(name)


def _unpack_zip(archive: Path, kind: str, inside: tuple[str, ...], folder: Path) -> None:
    with zipfile.ZipFile(archive) as bundle:
        for member in bundle.infolist():
            name = _below(_parts(member.filename), inside)
            mode = stat.S_IFMT(member.external_attr >> 16)  # 0 where a system without modes made the archive
            _refuse_if(mode not in (0, stat.S_IFREG, stat.S_IFDIR), member.filename, "is neither a file nor a folder")
            if not name:
                continue
            path = folder.joinpath(*name)
            if member.is_dir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with bundle.open(member) as packed, open(path, "wb") as file:  # checks the CRC at the end
                shutil.copyfileobj(packed, file, CHUNK)


def _parts(name: str) -> tuple[str, ...]:
    """A member's name in parts, without `.`; refused where it might not stay below the folder on some system."""
    parts = PurePosixPath(name).parts
    _refuse_if(name.startswith("/") or ".." in parts or "\\" in name or "\0" in name, name, "leads out of the folder")
    return parts


def _below(parts: tuple[str, ...], inside: tuple[str, ...]) -> tuple[str, ...]:
    """`parts` as seen from `inside`; empty for what is not below it."""
    return parts[len(inside) :] if parts[: len(inside)] == inside else ()


def _refuse_if(bad: bool, name: str, what: str) -> None:
    if bad:
        raise BadArchiveError(f"unsafe archive: member {name!r} {what}")
