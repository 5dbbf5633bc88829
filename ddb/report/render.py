"""A results table as text: Markdown, LaTeX, CSV, JSON, or a rich table for the terminal.

    print(render(rows(plan, store), "markdown"))

Tables for reading give percent with one decimal as `mean ± std (n)`, and name what ± is, the selection criterion and
the convention of the guidance. CSV gives the same percents in one column per number; JSON the exact fractions.
A metric that no row has gets no column; one that a single row lacks shows as a dash.
"""

import csv
import io
import json

from rich.table import Table
from rich.text import Text

from ddb.errors import DDBError
from ddb.report.table import METRICS, Row
from ddb.settings import unknown

TITLES = {
    "average_accuracy": "average",
    "weighted_average_accuracy": "weighted average",
    "conflicting_accuracy": "conflicting",
    "aligned_accuracy": "aligned",
    "worst_group_accuracy": "worst group",
    "id_accuracy": "I.D.",
    "bg_gap": "BG gap",
    "co_occur_obj_gap": "CoObj gap",
    "bg_co_occur_obj_gap": "BG+CoObj gap",
}
WEIGHTED = (
    "Weighted average: test groups weighted by their shares of the training set, as the field averages Waterbirds."
)
GAPS = "Gaps: points by which accuracy falls below I.D. accuracy where just these attributes disagree with the class."
GUIDANCE = "guidance w (scale 1 + w)"
SELECTION = {
    "last": "the weights after the last step",
    "val_average": "best average accuracy on the validation split",
    "val_worst_group": "best worst-group accuracy on the validation split, an oracle as it needs bias labels",
    "val_pseudo_worst_group": "best worst accuracy over the Bias Amplifier's pseudo-groups on the validation split",
}
NONE = "–"  # in place of a number that does not exist
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


def terminal_table(rows: list[Row]) -> Table:
    """The table for the terminal; an incomplete row has its state in yellow, one with failures in red.

    A data set or selection criterion that all rows share stands in the title, which leaves its width to the numbers.
    """
    header, lines = _cells(rows)
    shared = [
        i for i, name in enumerate(header) if name in ("data set", "selection") and len({x[i] for x in lines}) == 1
    ]
    title = ", ".join(f"{header[i]}: {lines[0][i]}" for i in shared)
    table = Table(title=Text(title), caption=caption(rows), caption_justify="left", header_style="bold")
    shown = [i for i in range(len(header)) if i not in shared]
    for i in shown:
        right = header[i] in TITLES.values()
        table.add_column(Text(header[i]), justify="right" if right else "left", no_wrap=header[i] == "method")
    for row, line in zip(rows, lines, strict=True):
        color = "red" if row.failed else "" if row.complete else "yellow"
        table.add_row(*(Text(line[i], style=color if i == len(line) - 1 else "") for i in shown))
    return table


def caption(rows: list[Row]) -> str:
    """What a reader must know to read the numbers."""
    used = dict.fromkeys(row.selection for row in rows)
    criteria = "; ".join(f"{name} ({SELECTION[name]})" if name in SELECTION else name for name in used)
    sentences = [
        "Test accuracy in percent as mean ± std (n), n the number of seeds; "
        "± is the sample standard deviation (ddof 1), not given for n = 1.",
    ]
    if criteria:
        sentences.append(f"Selection criterion: {criteria}.")
    used = {name for row in rows for name in row.metrics}
    sentences += [WEIGHTED] * ("weighted_average_accuracy" in used) + [GAPS] * ("bg_gap" in used)
    sentences += dict.fromkeys(f"{row.dataset}: {note}." for row in rows for note in row.notes)
    if any(not row.complete for row in rows):
        sentences.append("Rows with fewer seeds than planned rest on the finished ones only.")
    return " ".join(sentences)


def _cells(rows: list[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and lines of the tables for reading."""
    metrics = _metrics(rows)
    header = ["data set", "method", GUIDANCE, "selection", *(TITLES[name] for name in metrics), "seeds"]
    lines = []
    for row in rows:
        guidance = NONE if row.guidance is None else f"{row.guidance:g}"
        numbers = [_number(row.metrics.get(name)) for name in metrics]
        lines.append([row.dataset, row.method, guidance, row.selection, *numbers, row.state])
    return header, lines


def _metrics(rows: list[Row]) -> list[str]:
    """Metrics that some row has, in the order of METRICS."""
    return [name for name in METRICS if any(name in row.metrics for row in rows)]


def _number(value: dict | None) -> str:
    """`mean ± std (n)` in percent; without the ± for a single seed."""
    if value is None:
        return NONE
    std = "" if value["std"] is None else f" ± {100 * value['std']:.1f}"
    return f"{100 * value['mean']:.1f}{std} ({value['n']})"


def _markdown(rows: list[Row]) -> str:
    header, lines = _cells(rows)
    rule = ["---:" if name in TITLES.values() else "---" for name in header]
    table = [[cell.replace("|", r"\|") for cell in line] for line in [header, rule, *lines]]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in table), "", caption(rows), ""])


def _latex(rows: list[Row]) -> str:
    header, lines = _cells(rows)
    columns = "".join("r" if name in TITLES.values() else "l" for name in header)
    body = [" & ".join(_escape(cell) for cell in line) + r" \\" for line in [header, *lines]]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escape(caption(rows))}}}",
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
    metrics = _metrics(rows)
    numbers = ("percent_mean", "percent_std_ddof1", "n")
    header = ["dataset", "method", GUIDANCE, "selection", *(f"{m}_{number}" for m in metrics for number in numbers)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*header, "seeds_planned", "seeds_finished", "seeds_failed"])
    for row in rows:
        line = [row.dataset, row.method, "" if row.guidance is None else f"{row.guidance:g}", row.selection]
        for name in metrics:
            value = row.metrics.get(name, {"mean": None, "std": None, "n": 0})
            line += ["" if value[part] is None else f"{100 * value[part]:.1f}" for part in ("mean", "std")]
            line.append(str(value["n"]))
        writer.writerow([*line, row.planned, len(row.seeds), row.failed])
    return text.getvalue()


def _json(rows: list[Row]) -> str:
    return json.dumps([row.as_json() for row in rows], indent=2, allow_nan=False) + "\n"


FORMATS = {"markdown": _markdown, "latex": _latex, "csv": _csv, "json": _json}
