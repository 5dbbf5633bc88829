"""The table as text: what each format says, that names break none of them, and what the captions explain."""

import csv
import io
import json
import re

import pytest
from rich.console import Console

from ddb.errors import DDBError
from ddb.report.render import render, terminal_tables
from ddb.report.sheets import PAPER, SIGNAL, axis_title, caption, sheets
from ddb.report.table import Row, Signal

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
    console.print(*terminal_tables([*ROWS, Row("[bold]mine", "erm", "last", 0.0, 1, [], 1)]))
    text = console.export_text()
    for part in ("82.3 ± 1.3 (3)", "2/3 seeds, 1 failed", "[bold]mine", "guidance w (scale 1 + w)", "(ddof 1)"):
        assert part in text


def test_an_unknown_format_is_one_clear_error():
    with pytest.raises(DDBError, match="format: unknown 'latx'; did you mean 'latex'"):
        render(ROWS, "latx")


def test_the_terminal_says_once_what_all_rows_share_and_colours_what_is_not_whole():
    (table,) = terminal_tables(ROWS)
    assert table.title.plain == "data set: colored_digits"
    assert [column.header.plain for column in table.columns][:2] == ["method", "guidance w (scale 1 + w)"]
    assert [cell.style for cell in table.columns[-1].cells] == ["", "red", "yellow"]
    (table,) = terminal_tables([FULL])
    assert table.title.plain == "data set: colored_digits, selection: last, seeds: 3/3 seeds"


def varied(method, steps, sampler, guidance=1.0, **fields):
    settings = {"amplifier.steps": steps, "sampling.sampler": sampler, "methods.lff.q": None}
    return Row("bar", method, "last", guidance, 1, [0], 0, settings=settings, **fields)


def test_varied_settings_have_columns_but_not_one_that_touches_no_row():
    rows = [varied("erm", None, None, None), varied("ddb_two_step", 20, "ancestral")]
    assert render(rows, "markdown").splitlines()[:4] == [
        "| data set | method | amplifier steps | sampler | guidance w (scale 1 + w) | selection | seeds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| bar | erm | – | – | – | last | 1/1 seeds |",
        "| bar | ddb_two_step | 20 | ancestral | 1 | last | 1/1 seeds |",
    ]
    first, second = csv.DictReader(io.StringIO(render(rows, "csv")))
    assert "methods.lff.q" not in first
    assert (first["amplifier.steps"], second["amplifier.steps"], second["sampling.sampler"]) == ("", "20", "ancestral")
    assert json.loads(render(rows, "json"))[1]["settings"]["amplifier.steps"] == 20


def test_titles_of_settings_say_the_section_where_the_setting_alone_would_not():
    assert [
        axis_title(name) for name in ("dataset.conflict_ratio", "amplifier.steps", "methods.ddb_two_step.gamma")
    ] == [
        "conflict ratio",
        "amplifier steps",
        "gamma",
    ]


def test_signals_have_a_table_with_one_line_for_amplifiers_that_rows_share():
    """Two rows share amplifier a, so the gamma that tells them apart is not the signal's; b has other steps."""
    numbers = {"precision": {"mean": 0.5, "std": 0.125, "n": 2}, "auroc": {"mean": 0.875, "std": None, "n": 1}}
    a, b = Signal(("a",), "synthetic", numbers), Signal(("b",), "real", {"auroc": {"mean": 0.25, "std": None, "n": 1}})
    rows = [
        Row("bar", "erm", "last", None, 1, [0], 0, settings={"methods.one.gamma": None, "amplifier.steps": None}),
        Row("bar", "one", "last", 1.0, 1, [0], 0, settings={"methods.one.gamma": 1, "amplifier.steps": 20}, signal=a),
        Row("bar", "one", "last", 1.0, 1, [0], 0, settings={"methods.one.gamma": 2, "amplifier.steps": 20}, signal=a),
        Row(
            "bar",
            "one",
            "last",
            None,
            1,
            [0],
            0,
            settings={"methods.one.gamma": None, "amplifier.steps": 300},
            signal=b,
        ),
    ]
    sheet = sheets(rows)[1]
    assert sheet.header == ["data set", "amplifier steps", "guidance w (scale 1 + w)", "amplifier trained on",
                            "amplifier: precision", "AUROC"]  # fmt: skip
    assert sheet.lines == [
        ["bar", "20", "1", "synthetic images", "50.0 ± 12.5 (2)", "87.5 (1)"],
        ["bar", "300", "–", "real images", "–", "25.0 (1)"],
    ]
    assert sheet.caption == SIGNAL
    assert "| bar | 20 | 1 | synthetic images | 50.0 ± 12.5 (2) | 87.5 (1) |" in render(rows, "markdown")
    assert render(rows, "latex").count(r"\begin{table}") == len(list(terminal_tables(rows))) == 2
    lines = list(csv.DictReader(io.StringIO(render(rows, "csv"))))
    assert [line["amplifier_precision_percent_mean"] for line in lines] == ["", "50.0", "50.0", ""]
    assert lines[3]["amplifier_auroc_percent_mean"] == "25.0" and lines[0]["amplifier_auroc_n"] == "0"


def test_without_a_judged_signal_there_is_one_table():
    assert len(sheets([FULL, varied("ddb_two_step", 20, None, signal=Signal(("a",), "synthetic", {}))])) == 1
    assert SIGNAL not in render(ROWS, "markdown")


def test_the_papers_number_stands_beside_ours_with_the_gap():
    theirs = {"worst_group_accuracy": {"mean": 0.91, "std": 0.01}}
    ours = {
        "worst_group_accuracy": {"mean": 0.885, "std": None, "n": 1},
        "average_accuracy": {"mean": 0.9, "std": None, "n": 1},
    }
    rows = [
        Row("waterbirds", "ddb_two_step", "last", 1.0, 1, [0], 0, ours, published=theirs, papers_setting=True),
        Row(
            "waterbirds", "jtt", "last", None, 1, [], 0, published={"worst_group_accuracy": {"mean": 0.78, "std": None}}
        ),
        Row("waterbirds", "erm", "last", None, 1, [0], 0, ours),
    ]
    lines = render(rows, "markdown").splitlines()
    assert lines[0] == (
        "| data set | method | guidance w (scale 1 + w) | selection "
        "| average | worst group | paper: worst group | gap | seeds |"
    )
    assert lines[1] == "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | --- |"
    assert lines[2].endswith("| 90.0 (1) | 88.5 (1) | 91.0 ± 1.0 | -2.5 | 1/1 seeds |")
    assert lines[3].endswith("| – | – | 78.0 | – | 0/1 seeds, 1 missing |")
    assert lines[4].endswith("| 90.0 (1) | 88.5 (1) | – | – | 1/1 seeds |")
    assert PAPER in caption(rows) and PAPER not in caption(rows[2:])
    assert "paper" not in render(rows[2:], "markdown").splitlines()[0]
    first, second, third = csv.DictReader(io.StringIO(render(rows, "csv")))
    names = [f"paper_worst_group_accuracy_{part}" for part in ("percent_mean", "percent_std", "gap_points")]
    assert [first[name] for name in names] == ["91.0", "1.0", "-2.5"]
    unknown = Row("waterbirds", "ddb_two_step", "last", 1.0, 1, [0], 0, ours, published=theirs)
    assert render([unknown], "markdown").splitlines()[2].endswith("| 91.0 ± 1.0 | – | 1/1 seeds |")
    assert [second[name] for name in names] == ["78.0", "", ""] and [third[name] for name in names] == [""] * 3


def test_titles_of_settings():
    titles = {
        name: axis_title(name) for name in ("base", "dataset.conflict_ratio", "amplifier.steps", "methods.x.gamma")
    }
    assert list(titles.values()) == ["base", "conflict ratio", "amplifier steps", "gamma"]
