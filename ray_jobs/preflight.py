"""What is looked at before Ray is asked: Ray itself tells of it after minutes, or with a traceback, or never."""

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ddb.errors import DDBError

PATIENCE = 10.0  # seconds in which a Ray has to answer
LONGEST = 107 - len("/ray/session_2026-01-31_12-00-00_123456_1234567/sockets/plasma_store.1")  # a socket's name has 107
NEEDED = 50e6  # bytes for the logs and sockets of a session
SHORT = ("/tmp", "/var/tmp", "/dev/shm")  # where a short name may be made
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # of gRPC, with no settings
SETTINGS = 4  # the kind of frame that a gRPC server answers with, in its fourth byte


def reachable(address: str) -> None:
    """Raises DDBError unless what listens at RAY_ADDRESS may be a Ray; names that only Ray understands are left to it.

    Ray would try for a quarter of an hour, and complain of every attempt.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), PATIENCE) as connection:
            if os.environ.get("RAY_USE_TLS", "0") in ("0", ""):
                connection.sendall(GREETING)
                answer = connection.recv(9)
                if len(answer) < 4 or answer[3] != SETTINGS:
                    raise ConnectionError("what listens there is no Ray")
    except (OSError, OverflowError) as error:  # the latter: a port above 65,535
        reason = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)
        raise DDBError(f"RAY_ADDRESS={address}: no Ray answers there ({reason}); name one that runs, or unset "
                       "RAY_ADDRESS to start one on this machine") from error  # fmt: skip


@contextlib.contextmanager
def short_names() -> Iterator[None]:
    """Within the block, this process and what it starts know the folder for temporary files by a name that fits Ray.

    Sockets have at most 107 bytes in their names, and Ray adds about 70 to the folder's; spaces would end an argument
    of its commands. The files stay where the user wants them: the short name is a link to there. Raises DDBError
    where nothing can be written into the folder.
    """
    variable = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
    before = os.environ.get(variable) or "/tmp"
    place = Path(before).absolute()
    _writable(place, variable)
    if len(os.fsencode(place)) <= LONGEST and not any(character.isspace() for character in str(place)):
        yield
        return
    folder = _short_folder(place, variable)
    try:
        link = folder / "t"
        link.symlink_to(place)
        os.environ[variable] = str(link)
        tempfile.tempdir = None  # which remembers the long name
        yield
    finally:
        os.environ[variable] = before
        tempfile.tempdir = None
        shutil.rmtree(folder, ignore_errors=True)


def _writable(place: Path, variable: str) -> None:
    try:
        os.rmdir(tempfile.mkdtemp(dir=place))
        free = shutil.disk_usage(place).free
    except OSError as error:
        raise DDBError(f"{variable}: Ray cannot keep its session in {place}: {error.strerror}; name a folder of "
                       "this machine that can be written") from error  # fmt: skip
    if free < NEEDED:
        raise DDBError(f"{variable}: no space left for Ray's session in {place}: {free / 1e6:.0f} MB are free, "
                       f"{NEEDED / 1e6:.0f} MB needed")  # fmt: skip


def _short_folder(place: Path, variable: str) -> Path:
    for candidate in SHORT:
        with contextlib.suppress(OSError):
            return Path(tempfile.mkdtemp(prefix="ddb-", dir=candidate))
    raise DDBError(f"{variable}={place}: is too long for Ray, whose sockets have at most 107 bytes in their names, and "
                   f"none of {', '.join(SHORT)} can be written; name a folder of at most {LONGEST} bytes")  # fmt: skip
