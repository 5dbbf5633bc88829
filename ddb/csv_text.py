"""CSV tables that people and other programs wrote, read strictly: nothing is shifted, swallowed or dropped.

table = read(Path("metadata.csv"))
table.columns, table.rows[0]["y"], table.lines[0]
"""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True)
class Table:
    """All values are texts; blanks after commas are no part of them."""

    columns: list[str]
    rows: list[dict[str, str]]
    lines: list[int]  # of the file, in which each row begins


def read(path: Path) -> Table:
    """Raises ValueError with the line and the reason, OSError if the file cannot be opened.

    A quote that is not closed makes one value of the lines up to the next quote, so a value whose lines look like rows
    is refused, and so are rows that are longer or shorter than the header.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        (_, columns), *records = [*_records(file)] or [(0, [])]
    if not columns:
        raise ValueError("it is empty")
    if twice := [name for name, number in Counter(columns).items() if number > 1]:
        raise ValueError(f"the column {twice[0]!r} stands twice")
    rows = []
    for line, values in records:
        if len(values) < len(columns) or any(values[len(columns) :]):  # an empty one is a comma at the end
            raise ValueError(f"line {line} has {len(values)} values, and the header has {len(columns)}")
        if any(part.count(",") >= len(columns) - 1 > 0 for value in values for part in value.splitlines()[1:]):
            raise ValueError(f"line {line}: a quote opens a value of several lines that look like rows")
        rows.append(dict(zip(columns, values, strict=False)))
    return Table(columns, rows, [line for line, _ in records])


def _records(file: TextIO) -> Iterator[tuple[int, list[str]]]:
    """The values of each record that has any, with the line in which it begins."""
    reader, line = csv.reader(file, strict=True, skipinitialspace=True), 1
    try:
        for values in reader:
            if values:
                yield line, values
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"line {line}: a quote is not closed, or stands inside a value ({error})") from None
