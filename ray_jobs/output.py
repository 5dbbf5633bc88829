"""The two consoles that everything prints to, and what is printed where an encoding lacks a sign.

What is printed is text: brackets and colons in the names of classes and files mean nothing. Colour is asked for with
`style`, or with a `rich.text.Text`.
"""

import codecs
import io
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

WIDTH = None if sys.stdout.isatty() else 140  # a log file has no edge to wrap at


def _plain(width: int | None, stderr: bool) -> Console:
    return Console(width=width, stderr=stderr, soft_wrap=True, markup=False, emoji=False, highlight=False)


out, err = _plain(WIDTH, stderr=False), _plain(None, stderr=True)

NEAREST = {"–": "-", "—": "-", "−": "-", "→": ">", "…": "...", "±": "+-", "×": "x", "·": "*", "•": "*", "‘": "'",
           "’": "'", "“": '"', "”": '"', "│": "|", "─": "-", "━": "-"}  # fmt: skip


def free(path: Path, same: Callable[[Path], bool]) -> Path:
    """`path`, or `path-2` and so on if it exists and is not the `same`: a person may have edited it."""
    places = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    return next(place for place in itertools.chain([path], places) if not place.exists() or same(place))


def printable_anywhere() -> None:
    """From now on, what the encoding of the terminal or of a log file lacks is printed by its nearest sign or code."""
    codecs.register_error("ddb.nearest", _nearest)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not if tests or notebooks have put something else there
            stream.reconfigure(errors="ddb.nearest")


def _nearest(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(NEAREST.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in signs), error.end
