"""Which locks a store uses: `flock` where it holds between nodes, lease files where it does not. One kind per store.

DDB_LOCKS=auto|flock|lease      # auto (the default) looks at the file system when the store is opened first

The choice is written into the store, since locks of two kinds do not see each other. Network file systems get leases:
flock on them is missing (Lustre without `-o flock`), or may hold on one node only (`localflock`, `local_lock`), which
one process cannot see. Who knows that theirs works asks for it with DDB_LOCKS=flock.
"""

import contextlib
import fcntl
import os
import secrets
import sys
from pathlib import Path

from ddb.errors import DDBError

SETTING = "DDB_LOCKS"
KINDS = ("flock", "lease")
FILE = "kind"  # in the store's folder of locks
NETWORK = ("nfs", "lustre", "gpfs", "beegfs", "cifs", "smb", "ceph", "gluster", "afs", "orangefs", "pvfs", "panfs",
           "wekafs", "glusterfs", "fuse.")  # fmt: skip


def lock_kind(folder: Path) -> str:
    """The kind of the store whose locks lie in `folder`, chosen and written down where it has none.

    Raises DDBError where DDB_LOCKS is unknown, asks for what does not work there, or contradicts the store.
    """
    asked = os.environ.get(SETTING) or "auto"
    if asked not in ("auto", *KINDS):
        raise DDBError(f"{SETTING}: {asked!r} is unknown; known: auto, {', '.join(KINDS)}")
    known = _read(folder)
    if known is None:
        kind, reason = _choose(folder, asked)
        known = _write(folder, kind)
        if known == kind == "lease":
            print(f"store {folder.parent}: locks are lease files, {reason}", file=sys.stderr, flush=True)
    if asked not in ("auto", known):
        raise DDBError(f"{SETTING}={asked}: the store {folder.parent} uses {known} ({folder / FILE}), and all that "
                       "work on one store must use the same")  # fmt: skip
    return known


def _choose(folder: Path, asked: str) -> tuple[str, str]:
    """The kind for a new store, and why."""
    if asked == "lease":
        return "lease", f"as {SETTING} asks"
    fault = flock_fault(folder)
    if asked == "flock":
        if fault:
            raise DDBError(f"{SETTING}=flock: in {folder.parent} {fault}; use {SETTING}=lease")
        return "flock", f"as {SETTING} asks"
    if fault:
        return "lease", f"since {fault}"
    kind = file_system(folder)
    if kind.startswith(NETWORK):
        return (
            "lease",
            f"since it lies on {kind}, where flock may hold on one node only ({SETTING}=flock if it does not)",
        )
    return "flock", ""


def flock_fault(folder: Path) -> str | None:
    """What is wrong with flock in `folder`, as one process can see it; None where it keeps a second one out."""
    path = folder / f".trial-{secrets.token_hex(4)}"
    first = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    second = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        return "flock keeps nobody out there"
    except OSError as error:
        return f"flock does not work there ({error.strerror})"
    finally:
        os.close(first)
        os.close(second)
        path.unlink(missing_ok=True)


def file_system(folder: Path) -> str:
    """The type of the file system that `folder` lies on, by the kernel's table of mounts; empty where unknown."""
    found, length = "", -1
    place = str(folder.resolve()) + "/"
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields = line.split()
            point = fields[4].replace("\\040", " ").rstrip("/") + "/"
            if place.startswith(point) and len(point) >= length:
                found, length = fields[fields.index("-") + 1], len(point)
    return found


def _read(folder: Path) -> str | None:
    try:
        kind = (folder / FILE).read_text().strip()
    except FileNotFoundError:
        return None
    if kind not in KINDS:
        raise DDBError(f"{folder / FILE}: {kind!r} is no kind of lock; known: {', '.join(KINDS)}")
    return kind


def _write(folder: Path, kind: str) -> str:
    """Write the kind down unless another process was first; the one that stands."""
    temporary = folder / f".{FILE}-{secrets.token_hex(4)}"
    temporary.write_text(f"{kind}\n")
    try:
        os.link(temporary, folder / FILE)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        os.replace(temporary, folder / FILE)
    finally:
        temporary.unlink(missing_ok=True)
    return _read(folder) or kind
