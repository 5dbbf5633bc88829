"""A results table as text: Markdown, LaTeX (booktabs), CSV, JSON, or rich tables for the terminal.

    print(render(rows(graph, store), "markdown"))

Markdown, LaTeX and the terminal show the sheets for reading (`ddb.report.sheets`). CSV gives the same percents in one
column per number; JSON the exact fractions.
"""

import csv
import io
import json
from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from ddb.errors import DDBError
from ddb.report.sheets import GUIDANCE, Sheet, axes_of, metrics_of, sheets
from ddb.report.table import SIGNALS, Row, Summary
from ddb.settings import unknown

SHARED = ("data set", "selection", "seeds", "signals from")  # columns that may move to the terminal's title
LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "–": "--",
}


def render(rows: list[Row], format: str) -> str:
    """The table as text that ends in one newline. Raises DDBError for a format that is not in FORMATS."""
    if format not in FORMATS:
        raise DDBError(f"format: unknown {format!r}; {unknown(format, list(FORMATS))}")
    return FORMATS[format](rows)


def terminal_tables(rows: list[Row]) -> Iterator[Table]:
    """The sheets for the terminal; an incomplete row has its state in yellow, one with failures in red.

    What all rows of a sheet share stands in its title, which leaves its width to the numbers.
    """
    colors = ["red" if row.failed else "" if row.complete else "yellow" for row in rows]
    for sheet in sheets(rows):
        yield _terminal(sheet, colors)


def _terminal(sheet: Sheet, colors: list[str]) -> Table:
    shared = [i for i, name in enumerate(sheet.header) if name in SHARED and len({x[i] for x in sheet.lines}) == 1]
    if any(colors):
        shared = [i for i in shared if sheet.header[i] != "seeds"]
    title = ", ".join(f"{sheet.header[i]}: {sheet.lines[0][i]}" for i in shared)
    table = Table(title=Text(title), caption=sheet.caption, caption_justify="left", header_style="bold")
    columns = [i for i in range(len(sheet.header)) if i not in shared]
    for i in columns:
        justify = "right" if sheet.numeric[i] else "left"
        table.add_column(Text(sheet.header[i]), justify=justify, no_wrap=sheet.header[i] == "method")
    for number, line in enumerate(sheet.lines):
        style = {i: colors[number] for i, name in enumerate(sheet.header) if name == "seeds"}
        table.add_row(*(Text(line[i], style=style.get(i, "")) for i in columns))
    return table


def _markdown(rows: list[Row]) -> str:
    return "\n".join(markdown_sheet(sheet) for sheet in sheets(rows))


def markdown_sheet(sheet: Sheet) -> str:
    rule = ["---:" if numeric else "---" for numeric in sheet.numeric]
    table = [[cell.replace("|", r"\|") for cell in line] for line in [sheet.header, rule, *sheet.lines]]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in table), "", sheet.caption, ""])


def _latex(rows: list[Row]) -> str:
    return "% needs \\usepackage{booktabs}\n" + "".join(latex_sheet(sheet) for sheet in sheets(rows))


def latex_sheet(sheet: Sheet) -> str:
    columns = "".join("r" if numeric else "l" for numeric in sheet.numeric)
    body = [" & ".join(_escape(cell) for cell in line) + r" \\" for line in [sheet.header, *sheet.lines]]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escape(sheet.caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            body[0],
            r"\midrule",
            *body[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _escape(text: str) -> str:
    """Text that LaTeX prints as it stands; character by character, so that no escape is escaped again."""
    return "".join(LATEX.get(character, character) for character in text)


def _csv(rows: list[Row]) -> str:
    metrics, axes = metrics_of(rows), axes_of(rows)
    papers = [name for name in metrics if any(name in row.published for row in rows)]
    signals = [name for name in SIGNALS if any(row.signal and name in row.signal.numbers for row in rows)]
    names = [*metrics, *(f"amplifier_{name}" for name in signals)]
    numbers = ("percent_mean", "percent_std_ddof1", "n")
    header = ["dataset", "method", *axes, GUIDANCE, "selection", *(f"{m}_{x}" for m in names for x in numbers)]
    header += [f"paper_{name}_{x}" for name in papers for x in ("percent_mean", "percent_std", "gap_points")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*header, "seeds_planned", "seeds_finished", "seeds_failed"])
    for row in rows:
        line = [row.dataset, row.method, *(_plain(row.settings.get(axis)) for axis in axes)]
        line += [_plain(row.guidance), row.selection]
        known = row.signal.numbers if row.signal else {}
        for value in [*(row.metrics.get(name) for name in metrics), *(known.get(name) for name in signals)]:
            line += [*_percents(value), str(value["n"] if value else 0)]
        for name in papers:
            gap = row.gap(name)
            line += [*_percents(row.published.get(name)), "" if gap is None else f"{100 * gap:.1f}"]
        writer.writerow([*line, row.planned, len(row.seeds), row.failed])
    return text.getvalue()


def _plain(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _percents(value: Summary | None) -> list[str]:
    """Mean and standard deviation in percent, empty where there is none."""
    return ["" if value is None or value[part] is None else f"{100 * value[part]:.1f}" for part in ("mean", "std")]


def _json(rows: list[Row]) -> str:
    return json.dumps([row.as_json() for row in rows], indent=2, allow_nan=False) + "\n"


FORMATS = {"markdown": _markdown, "latex": _latex, "csv": _csv, "json": _json}
