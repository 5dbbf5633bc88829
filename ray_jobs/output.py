"""The consoles that everything prints to, tables, and what is printed where an encoding lacks a sign.

    out     results, on standard output, so that they can be piped
    news    what accompanies the work, on standard error; silent with -q
    err     mistakes and what is left out, on standard error

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
from rich.table import Table

WIDTH = None if sys.stdout and sys.stdout.isatty() else 140  # a log file has no edge to wrap at


class Plain(Console):
    """A console that prints text as it is."""

    verbose = False  # whether -v asks for keys and settings

    def __init__(self, width: int | None, stderr: bool):
        super().__init__(width=width, stderr=stderr, soft_wrap=True, markup=False, emoji=False, highlight=False)


out, err = Plain(WIDTH, stderr=False), Plain(None, stderr=True)
news = Plain(None if sys.stderr and sys.stderr.isatty() else 140, stderr=True)

NEAREST = {"–": "-", "—": "-", "−": "-", "→": ">", "…": "...", "±": "+-", "×": "x", "·": "*", "•": "*", "‘": "'",
           "’": "'", "“": '"', "”": '"', "│": "|", "─": "-", "━": "-"}  # fmt: skip


def set_volume(quiet: bool, verbose: bool) -> None:
    """What -q and -v ask for: results alone, or keys and settings as well."""
    news.quiet, news.verbose = quiet, verbose


def show(table: Table) -> None:
    """A table with rules on a terminal; elsewhere Markdown, which other programs and documents can read."""
    if out.is_terminal:
        out.print(table)
        return
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    title, caption = (str(text) for text in (table.title or "", table.caption or ""))
    rule = ["---:" if column.justify == "right" else "---" for column in table.columns]
    header, *lines = ([cell.replace("|", r"\|") for cell in line] for line in zip(*columns, strict=True))
    body = [f"| {' | '.join(line)} |" for line in (header, rule, *lines)]
    out.file.write("\n".join([*([title, ""] * bool(title)), *body, *(["", caption] * bool(caption))]) + "\n")


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
