"""A results table as text: Markdown, LaTeX (booktabs), CSV, JSON, or rich tables for the terminal.

    print(render(rows(Results(graph, store)), "markdown"))

Markdown, LaTeX and the terminal show the sheets for reading (`ddb.report.sheets`). CSV gives the same percents in one
column per number; JSON the exact fractions.
"""

import json
from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from ddb.errors import DDBError
from ddb.lazy import pd
from ddb.report.sheets import Sheet, axes_of, metrics_of, papers_of, sheets
from ddb.report.table import Row, Summary
from ddb.report.titles import GUIDANCE, SIGNALS
from ddb.settings import unknown

SHARED = ("data set", GUIDANCE, "selection", "seeds", "signals from")  # columns that may move to a table's title
LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$", "–": "--",
} | {sign: f"\\{sign}" for sign in "&%$#_{}"})  # fmt: skip


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
        shared = [i for i in shared_columns(sheet) if not (any(colors) and sheet.header[i] == "seeds")]
        title = ", ".join(f"{sheet.header[i]}: {sheet.lines[0][i]}" for i in shared)
        table = Table(title=Text(title), caption=sheet.caption, caption_justify="left", header_style="bold")
        columns = [i for i in range(len(sheet.header)) if i not in shared]
        for i in columns:
            justify = "right" if sheet.numeric[i] else "left"
            table.add_column(Text(sheet.header[i]), justify=justify, no_wrap=sheet.header[i] == "method")
        for line, color in zip(sheet.lines, colors, strict=False):
            table.add_row(*(Text(line[i], style=color if sheet.header[i] == "seeds" else "") for i in columns))
        yield table


def shared_columns(sheet: Sheet) -> list[int]:
    """Columns that say the same in every line, of those that may move to the title."""
    return [i for i, name in enumerate(sheet.header) if name in SHARED and len({line[i] for line in sheet.lines}) == 1]


def markdown_sheet(sheet: Sheet) -> str:
    rule = ["---:" if numeric else "---" for numeric in sheet.numeric]
    table = [[cell.replace("|", r"\|") for cell in line] for line in [sheet.header, rule, *sheet.lines]]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in table), "", sheet.caption, ""])


def latex_sheet(sheet: Sheet) -> str:
    columns = "".join("r" if numeric else "l" for numeric in sheet.numeric)
    header, *body = [
        " & ".join(cell.translate(LATEX) for cell in line) + r" \\" for line in [sheet.header, *sheet.lines]
    ]
    begin = ["\\begin{table}", "\\centering", f"\\caption{{{sheet.caption.translate(LATEX)}}}"]
    table = [f"\\begin{{tabular}}{{{columns}}}", "\\toprule", header, "\\midrule", *body, "\\bottomrule"]
    return "\n".join([*begin, *table, "\\end{tabular}", "\\end{table}", ""])


def _csv(rows: list[Row]) -> str:
    return pd.DataFrame(_flat_rows(rows)).to_csv(index=False, lineterminator="\n")


def _flat_rows(rows: list[Row]) -> Iterator[dict[str, Any]]:
    axes, metrics, papers = axes_of(rows), metrics_of(rows), papers_of(rows)
    signals = [name for name in SIGNALS if any(row.signal and name in row.signal.numbers for row in rows)]
    for row in rows:
        line = {"dataset": row.dataset, "method": row.method} | {axis: _plain(row.settings.get(axis)) for axis in axes}
        line |= {GUIDANCE: _plain(row.guidance), "selection": row.selection, "oracle": row.oracle}
        known = row.signal.numbers if row.signal else {}
        numbers = {name: row.metrics.get(name) for name in metrics}
        for name, value in (numbers | {f"amplifier_{name}": known.get(name) for name in signals}).items():
            line |= _percents(name, value, "percent_std_ddof1") | {f"{name}_n": value["n"] if value else 0}
        for name in papers:
            gap = row.gap(name)
            line |= _percents(f"paper_{name}", row.published.get(name), "percent_std")
            line[f"paper_{name}_gap_points"] = "" if gap is None else f"{100 * gap:.1f}"
        yield line | {"seeds_planned": row.planned, "seeds_finished": len(row.seeds), "seeds_failed": row.failed}


def _plain(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _percents(name: str, value: Summary | None, spread: str) -> dict[str, str]:
    """Mean and standard deviation in percent, empty where there is none."""
    known = value or {"mean": None, "std": None}
    parts = {"percent_mean": known["mean"], spread: known["std"]}
    return {f"{name}_{part}": "" if number is None else f"{100 * number:.1f}" for part, number in parts.items()}


FORMATS = {
    "markdown": lambda rows: "\n".join(markdown_sheet(sheet) for sheet in sheets(rows)),
    "latex": lambda rows: "% needs \\usepackage{booktabs}\n" + "".join(latex_sheet(sheet) for sheet in sheets(rows)),
    "csv": _csv,
    "json": lambda rows: json.dumps([row.as_json() for row in rows], indent=2, allow_nan=False) + "\n",
}
