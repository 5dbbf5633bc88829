"""The one exception that users see: a single line that names the setting or file at fault."""

import errno
import re

HEADLINE = re.compile(r"^[\w.]*(Error|Exception|Exit|Interrupt|Timeout|Failed): \S")  # how a traceback ends


class DDBError(Exception):
    """A mistake in the input (configuration, data, environment) that its author can mend.

    The command line prints the message without a traceback and exits with code 2; anything else is a bug in this code.
    """


WAYS_OUT = {
    errno.ENOSPC: "free some, or name another place (--store or DDB_STORE; TMPDIR for temporary files)",
    errno.EDQUOT: "free some, or name another place (--store or DDB_STORE; TMPDIR for temporary files)",
    errno.EROFS: "name a place that can be written (--store or DDB_STORE; --output; TMPDIR for temporary files)",
    errno.EACCES: "its owner can permit it, or name another place (--store or DDB_STORE; --output; TMPDIR)",
    errno.EPERM: "its owner can permit it, or name another place (--store or DDB_STORE; --output; TMPDIR)",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "allow more open files (ulimit -n)",
}


def fault_of_system(error: OSError | MemoryError) -> str:
    """One line for what the system refuses, and not our code: which file, what is wrong with it, the way out."""
    if isinstance(error, MemoryError):
        return "out of memory: give this process more, or ask for less at a time"
    text = " ".join((error.strerror or str(error) or type(error).__name__).split())
    names = " -> ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    parts = [f"{names}: {text}" if names else text, WAYS_OUT.get(error.errno or 0, "")]
    return "; ".join(part for part in parts if part)


class Interrupted(DDBError):
    """The run was asked to end early (`ddb.interrupt`); the same command goes on from what is there."""


def headline(text: str) -> str:
    """One line of `text` for the console: the exception that a traceback ends with, or the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if HEADLINE.match(line)), lines[-1] if lines else "no message")
