import csv
import io
import json
import re

import pytest
from rich.console import Console

from ddb.errors import DDBError
from ddb.report.render import caption, render, terminal_table
from ddb.report.table import Row

FULL = Row(
    "colored_digits",
    "ddb_two_step",
    "last",
    1.0,
    3,
    [0, 1, 2],
    0,
    {
        "average_accuracy": {"mean": 0.8234, "std": 0.0126, "n": 3},
        "conflicting_accuracy": {"mean": 0.7, "std": 0.1, "n": 3},
    },
)
PARTLY = Row("colored_digits", "erm", "val_average", None, 3, [0, 2], 1, {
    "average_accuracy": {"mean": 0.5, "std": 0.0, "n": 2},
})  # fmt: skip
EMPTY = Row("colored_digits", "group_dro", "val_worst_group", None, 2, [], 0)
ROWS = [FULL, PARTLY, EMPTY]


def test_markdown():
    lines = render(ROWS, "markdown").splitlines()
    assert lines[:5] == [
        "| data set | method | guidance w (scale 1 + w) | selection | average | conflicting | seeds |",
        "| --- | --- | --- | --- | ---: | ---: | --- |",
        "| colored_digits | ddb_two_step | 1 | last | 82.3 ± 1.3 (3) | 70.0 ± 10.0 (3) | 3/3 seeds |",
        "| colored_digits | erm | – | val_average | 50.0 ± 0.0 (2) | – | 2/3 seeds, 1 failed |",
        "| colored_digits | group_dro | – | val_worst_group | – | – | 0/2 seeds, 2 missing |",
    ]
    assert lines[5] == "" and lines[6] == caption(ROWS)


def test_the_caption_says_what_the_numbers_mean():
    text = caption(ROWS)
    assert "± is the sample standard deviation (ddof 1)" in text
    assert "Selection criterion: last (the weights after the last step); val_average (best average accuracy" in text
    assert "val_worst_group (best worst-group accuracy on the validation split, an oracle" in text
    assert "fewer seeds than planned" in text and "fewer seeds than planned" not in caption([FULL])
    assert "Selection" not in caption([])


def test_one_seed_has_no_deviation():
    row = Row("bar", "erm", "last", None, 1, [0], 0, {"average_accuracy": {"mean": 0.51853, "std": None, "n": 1}})
    assert "| 51.9 (1) |" in render([row], "markdown")


def test_metrics_that_no_row_has_get_no_column():
    for format in ("markdown", "latex", "csv"):
        assert "worst group" not in render(ROWS, format).split("Test accuracy")[0].splitlines()[0]
        assert "aligned" not in render([PARTLY], format)


def test_names_cannot_break_the_markdown_table():
    row = Row("a|b", "erm", "last", None, 1, [], 1)
    assert render([row], "markdown").splitlines()[2].startswith(r"| a\|b | erm |")


def test_latex_is_booktabs_with_everything_escaped():
    row = Row("50% & _more_", r"{x}#1$ \y~z^", "last", 1.5, 2, [0, 1], 0, {
        "average_accuracy": {"mean": 0.5, "std": 0.01, "n": 2},
    })  # fmt: skip
    text = render([row], "latex")
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")].splitlines()[1]
    assert body == (
        r"50\% \& \_more\_ & \{x\}\#1\$ \textbackslash{}y\textasciitilde{}z\textasciicircum{} & 1.5 & last"
        r" & 50.0 $\pm$ 1.0 (2) & 2/2 seeds \\"
    )
    for rule in ("toprule", "midrule", "bottomrule", "caption", "begin{tabular}{llllrl}", "end{table}"):
        assert f"\\{rule}" in text
    assert "guidance w (scale 1 + w) & selection & average & seeds" in text
    assert r"$\pm$ is the sample standard deviation (ddof 1)" in text
    assert text.isascii()
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    names = "".join(line for line in render(ROWS, "latex").splitlines() if "colored" in line)
    assert not re.search(r"(?<!\\)_", names)


def test_csv_has_a_column_for_each_number():
    lines = list(csv.DictReader(io.StringIO(render(ROWS, "csv"))))
    assert lines[0] == {
        "dataset": "colored_digits",
        "method": "ddb_two_step",
        "guidance w (scale 1 + w)": "1",
        "selection": "last",
        "average_accuracy_percent_mean": "82.3",
        "average_accuracy_percent_std_ddof1": "1.3",
        "average_accuracy_n": "3",
        "conflicting_accuracy_percent_mean": "70.0",
        "conflicting_accuracy_percent_std_ddof1": "10.0",
        "conflicting_accuracy_n": "3",
        "seeds_planned": "3",
        "seeds_finished": "3",
        "seeds_failed": "0",
    }
    assert lines[1]["conflicting_accuracy_percent_mean"] == "" and lines[1]["conflicting_accuracy_n"] == "0"
    assert (lines[1]["seeds_finished"], lines[1]["seeds_failed"]) == ("2", "1")


def test_json_is_the_rows():
    assert json.loads(render(ROWS, "json")) == [row.as_json() for row in ROWS]
    assert json.loads(render([], "json")) == []


def test_the_terminal_shows_the_same_and_does_not_read_names_as_markup():
    console = Console(width=220, record=True, file=io.StringIO())
    console.print(terminal_table([*ROWS, Row("[bold]mine", "erm", "last", 0.0, 1, [], 1)]))
    text = console.export_text()
    for part in ("82.3 ± 1.3 (3)", "2/3 seeds, 1 failed", "[bold]mine", "guidance w (scale 1 + w)", "(ddof 1)"):
        assert part in text


def test_an_unknown_format_is_one_clear_error():
    with pytest.raises(DDBError, match="format: unknown 'latx'; did you mean 'latex'"):
        render(ROWS, "latx")
