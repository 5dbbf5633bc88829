"""The results table: its rows with numbers by hand, the paper's numbers, and every format that it is printed in."""

import csv
import io
import itertools
import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from ddb.errors import DDBError
from ddb.experiment.config import methods
from ddb.experiment.config_file import load, resolve
from ddb.experiment.graph import build_graph
from ddb.experiment.results import Results
from ddb.recipes import METHODS
from ddb.report.paper import SEEN, published
from ddb.report.render import render, terminal_tables
from ddb.report.sheets import ERROR_SET, ORACLE, PAPER, caption, sheets
from ddb.report.table import Row, Signal, rows
from ddb.report.titles import axis_title
from ddb.store import Stage

WATERBIRDS = "configs/benchmarks/waterbirds.yaml"


def metrics(average, conflicting):
    names = ("average_accuracy", "conflicting_accuracy", "aligned_accuracy", "worst_group_accuracy")
    return dict(zip(names, (average, conflicting, 1.0, 0.25), strict=True)) | {"group_accuracy": {"0/aligned": 1.0}}


def test_mean_and_sample_deviation_by_hand(fake):
    for seed, conflicting in enumerate((0.6, 0.7, 0.8)):
        fake.add("erm", seed, metrics(0.9, conflicting))
    fake.add("group_dro", 0, {"average_accuracy": 0.5})  # a data set without bias labels
    row, unlabelled = rows(Results(fake, fake.store))
    # mean (0.6 + 0.7 + 0.8) / 3 = 0.7; deviations -0.1, 0, 0.1; sqrt(0.02 / (3 - 1)) = 0.1
    assert row.metrics["conflicting_accuracy"] == pytest.approx({"mean": 0.7, "std": 0.1, "n": 3})
    assert row.metrics["aligned_accuracy"] == {"mean": 1.0, "std": 0.0, "n": 3}
    assert row.by_seed["conflicting_accuracy"] == {0: 0.6, 1: 0.7, 2: 0.8}
    assert unlabelled.metrics == {"average_accuracy": {"mean": 0.5, "std": None, "n": 1}}


def test_failed_and_missing_cells_are_counted_separately(fake):
    drawn = fake.draw(2, 1.0)
    fake.add("erm", 4, metrics(0.8, 0.8))
    fake.store.fail(fake.add("erm", 1), "the loss is not finite")  # the cell itself
    fake.add("erm", 2, amplifier=fake.amplify(2, drawn))  # three stages up
    fake.store.fail(drawn.inputs["cdpm"], "out of memory")
    fake.add("erm", 3)  # has not run
    fake.add("erm", 0, metrics(0.6, 0.6))
    fake.add("group_dro", 0)
    data = Stage("data", {"seed": 1}, 1)
    fake.add("lff", 0, metrics(0.6, 0.6), data=data)
    fake.store.fail(data, "a later attempt to rebuild it")
    row, missing, finished = rows(Results(fake, fake.store))
    assert (row.seeds, row.failed, row.planned, row.complete) == ([0, 4], 2, 5, False)
    assert row.metrics["average_accuracy"]["n"] == 2
    assert row.state == "2/5 seeds, 2 failed, 1 missing"
    assert (missing.seeds, missing.metrics, missing.state) == ([], {}, "0/1 seeds, 1 missing")
    assert (finished.seeds, finished.failed, finished.state) == ([0], 0, "1/1 seeds")


def test_rows_are_grouped_by_data_set_and_method_in_the_order_of_the_plan(fake):
    for dataset, seed, steps in itertools.product(("bar", "bffhq"), (0, 1), (20, 5)):
        shared = {"dataset": dataset, "settings": {"training.steps": steps}}
        fake.add("erm", seed, **shared)
        for guidance in (3.0, 0.0):
            fake.add("ddb_two_step", seed, guidance=guidance, **shared)
        fake.add("erm", seed, selection="val_average", **shared)
    found = rows(Results(fake, fake.store))
    erm = [("erm", steps, None, selection) for steps in (20, 5) for selection in ("last", "val_average")]
    recipe = [("ddb_two_step", steps, guidance, "last") for steps in (20, 5) for guidance in (3.0, 0.0)]
    values = [(row.dataset, row.method, row.settings["training.steps"], row.guidance, row.selection) for row in found]
    assert values == [(dataset, *line) for dataset in ("bar", "bffhq") for line in [*erm, *recipe]]
    assert all(row.planned == 2 for row in found)


def test_a_method_that_a_setting_does_not_touch_is_one_row(fake):
    """Two counts of synthetic images: two rows of Recipe I, one of ERM, whose two seeds are trained once each."""
    values = {"methods": {"erm": {}, "ddb_two_step": {}}, "seeds": [0, 1]}
    graph = build_graph(resolve(values | {"vary": {"sampling.images_per_class": [5, 10], "sampling.guidance": [1]}}))
    assert [(row.method, row.settings, row.guidance, row.planned) for row in rows(Results(graph, fake.store))] == [
        ("erm", {"sampling.images_per_class": None}, None, 2),
        ("ddb_two_step", {"sampling.images_per_class": 5}, 1.0, 2),
        ("ddb_two_step", {"sampling.images_per_class": 10}, 1.0, 2),
    ]


def test_the_signal_behind_a_row_by_hand(fake):
    for seed, (share, precision) in enumerate(((0.9, 0.5), (1.0, None), (None, 0.7))):
        quality = {"precision": precision, "recall": 0.25 * seed, "auroc": 0.9}
        amplifier = fake.amplify(seed, fake.draw(seed, 1.0, share), quality=quality)
        fake.add("ddb_two_step", seed, guidance=1.0, amplifier=amplifier)
    real = fake.amplify(0, quality={"precision": 0.5, "recall": 0.5, "auroc": 0.5})  # has no synthetic images to judge
    fake.add("ddb_two_step_error_set", 0, amplifier=real)
    fake.add("erm", 0)
    row, of_real, erm = rows(Results(fake, fake.store))
    assert row.signal.source == "synthetic" and len(set(row.signal.amplifiers)) == 3
    # precision: 0.5 and 0.7, mean 0.6, deviations +-0.1, sqrt(0.02 / 1); the empty error set of seed 1 has none
    assert row.signal.numbers["precision"] == pytest.approx({"mean": 0.6, "std": math.sqrt(0.02), "n": 2})
    assert row.signal.numbers["recall"] == pytest.approx({"mean": 0.25, "std": 0.25, "n": 3})
    assert row.signal.numbers["aligned_share"] == pytest.approx({"mean": 0.95, "std": math.sqrt(0.005), "n": 2})
    assert row.as_json()["amplifier"] == {"source": "synthetic", **row.signal.numbers}
    assert of_real.signal.source == "real" and list(of_real.signal.numbers) == ["precision", "recall", "auroc"]
    assert erm.signal is None and "amplifier" not in erm.as_json()


def paper(*overrides, path=WATERBIRDS):
    """The paper's numbers beside each row of a configuration."""
    config = load(path, list(overrides)).config
    return {row.label: published(config, row, row.method.needs_signals) for row in methods(config)}


def test_the_papers_setting_has_the_papers_numbers():
    found = paper()
    assert found["erm"]["worst_group_accuracy"] == pytest.approx({"mean": 0.626, "std": 0.003})
    assert found["ddb_two_step"]["worst_group_accuracy"] == pytest.approx({"mean": 0.9081, "std": 0.0068})
    assert found["ddb_end_to_end"]["worst_group_accuracy"] == pytest.approx({"mean": 0.9156, "std": 0.0015})
    assert paper("dataset.root=/elsewhere", "seeds=[7]", "resources.cpus_per_run=1", "memorisation=false") == found
    assert not any(paper(path="configs/colored_digits.yaml").values())  # not a data set of the paper


def test_a_method_that_needs_bias_labels_is_an_oracle(fake):
    for name in METHODS:
        fake.add(name, 0)
    found = rows(Results(fake, fake.store))
    assert [row.title for row in found if row.oracle] == ["dfr (oracle)", "group_dro (oracle)"]
    assert [row["method"] for row in json.loads(render(found, "json")) if row["oracle"]] == ["dfr", "group_dro"]
    assert [line["method"] for line in csv_lines(found) if line["oracle"] == "True"] == ["dfr", "group_dro"]


WITHOUT_SIGNAL = {"erm", "group_dro", "lff", "jtt"}


@pytest.mark.parametrize(
    ("override", "kept"),
    [
        ("dataset.image_size=128", set()),
        ("training.network=resnet18", set()),
        ("cdpm.steps=99999", WITHOUT_SIGNAL),
        ("preset=fast", WITHOUT_SIGNAL),
        ("methods.ddb_two_step.gamma=2", WITHOUT_SIGNAL | {"ddb_two_step_error_set", "ddb_end_to_end"}),
    ],
)
def test_a_changed_setting_removes_the_papers_numbers_from_the_rows_that_use_it(override, kept):
    found = paper()
    assert paper(override) == {label: numbers if label in kept else {} for label, numbers in found.items()}


def test_the_papers_number_and_the_gap_to_it_are_in_the_row(fake, monkeypatch):
    config = load(WATERBIRDS).config
    known = {row.label: row for row in methods(config)}
    for method, reached in (("ddb_two_step", {"worst_group_accuracy": 0.8881}), ("erm", None)):
        fake.add(method, 0, reached, dataset="waterbirds")
        fake.cells[-1] = replace(fake.cells[-1], config=config, row=known[method])
    ours, missing = rows(Results(fake, fake.store))
    assert ours.gap("worst_group_accuracy") is None  # the amplifier's settings are ours, not the paper's
    monkeypatch.setitem(SEEN, "waterbirds", ("ddb_two_step",))
    ours, _ = rows(Results(fake, fake.store))
    assert ours.as_json()["paper"]["worst_group_accuracy"] == pytest.approx(
        {"mean": 0.9081, "std": 0.0068, "gap": -0.02}  # 88.81 - 90.81
    )
    assert missing.as_json()["paper"]["worst_group_accuracy"]["gap"] is None
    assert ours.gap("average_accuracy") is None


def summary(mean, std=None, n=1):
    return {"mean": mean, "std": std, "n": n}


AVERAGE, CONFLICTING = "average_accuracy", "conflicting_accuracy"
NUMBERS = {AVERAGE: summary(0.8234, 0.0126, 3), CONFLICTING: summary(0.7, 0.1, 3)}
FULL = Row("colored_digits", "ddb_two_step", "last", 1.0, 3, [0, 1, 2], 0, NUMBERS)
PARTLY = Row("colored_digits", "erm", "val_average", None, 3, [0, 2], 1, {AVERAGE: summary(0.5, 0.0, 2)})
EMPTY = Row("colored_digits", "group_dro", "val_worst_group", None, 2, [], 0, oracle=True)
ROWS = [FULL, PARTLY, EMPTY]


def csv_lines(rows):
    return list(csv.DictReader(io.StringIO(render(rows, "csv"))))


def test_markdown_and_its_caption():
    lines = render(ROWS, "markdown").splitlines()
    assert lines[:5] == [
        "| data set | method | guidance w (scale 1 + w) | selection | average | conflicting | seeds |",
        "| --- | --- | --- | --- | ---: | ---: | --- |",
        "| colored_digits | ddb_two_step | 1 | last | 82.3 ± 1.3 (3) | 70.0 ± 10.0 (3) | 3/3 seeds |",
        "| colored_digits | erm | – | val_average | 50.0 ± 0.0 (2) | – | 2/3 seeds, 1 failed |",
        "| colored_digits | group_dro (oracle) | – | val_worst_group | – | – | 0/2 seeds, 2 missing |",
    ]
    assert lines[5] == "" and lines[6] == caption(ROWS)
    assert "± is the sample standard deviation (ddof 1)" in lines[6]
    assert "Selection criterion: last (the weights after the last step); val_average (best average accuracy" in lines[6]
    assert "val_worst_group (best worst-group accuracy on the validation split, an oracle" in lines[6]
    assert "fewer seeds than planned" in lines[6] and "fewer seeds than planned" not in caption([FULL])
    assert "Selection" not in caption([])
    assert ORACLE in lines[6] and ORACLE not in caption(ROWS[:2])
    row = Row("a|b", "erm", "last", None, 1, [0], 0, {AVERAGE: summary(0.51853)})  # one seed has no deviation
    assert render([row], "markdown").splitlines()[2] == r"| a\|b | erm | – | last | 51.9 (1) | 1/1 seeds |"


def test_latex_is_booktabs_with_everything_escaped():
    row = Row("50% & _more_", r"{x}#1$ \y~z^", "last", 1.5, 2, [0, 1], 0, {AVERAGE: summary(0.5, 0.01, 2)})
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


def test_csv_has_a_column_for_each_number():
    full, partly, _ = csv_lines(ROWS)
    assert full == {
        "dataset": "colored_digits",
        "method": "ddb_two_step",
        "guidance w (scale 1 + w)": "1",
        "selection": "last",
        "oracle": "False",
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
    assert partly["conflicting_accuracy_percent_mean"] == "" and partly["conflicting_accuracy_n"] == "0"
    assert (partly["seeds_finished"], partly["seeds_failed"]) == ("2", "1")


def test_json_has_exact_fractions_under_exactly_these_keys():
    assert json.loads(render([FULL], "json")) == [
        {
            "dataset": "colored_digits",
            "method": "ddb_two_step",
            "oracle": False,
            "selection": "last",
            "guidance": 1.0,
            "seeds": [0, 1, 2],
            "failed": 0,
            "metrics": NUMBERS,
        }
    ]
    assert json.loads(render([], "json")) == []


def test_the_terminal_prints_shared_values_once_and_colours_incomplete_rows():
    (table,) = terminal_tables(ROWS)
    assert table.title.plain == "data set: colored_digits"
    assert [column.header.plain for column in table.columns][:2] == ["method", "guidance w (scale 1 + w)"]
    assert [cell.style for cell in table.columns[-1].cells] == ["", "red", "yellow"]
    (table,) = terminal_tables([FULL])
    assert (
        table.title.plain == "data set: colored_digits, guidance w (scale 1 + w): 1, selection: last, seeds: 3/3 seeds"
    )
    console = Console(width=220, record=True, file=io.StringIO())
    console.print(*terminal_tables([*ROWS, Row("[bold]mine", "erm", "last", 0.0, 1, [], 1)]))
    text = console.export_text()
    for part in ("82.3 ± 1.3 (3)", "2/3 seeds, 1 failed", "[bold]mine", "(ddof 1)"):
        assert part in text


def test_an_unknown_format_is_one_clear_error():
    with pytest.raises(DDBError, match="format: unknown 'latx'; did you mean 'latex'"):
        render(ROWS, "latx")


def varied(method, guidance=1.0, signal=None, **settings):
    return Row("bar", method, "last", guidance, 1, [0], 0, settings=settings, signal=signal)


def test_varied_settings_have_columns_if_they_change_some_row():
    settings = {"methods.lff.q": None, "amplifier.steps": 20, "sampling.sampler": "ancestral"}
    rows = [varied("erm", None, **dict.fromkeys(settings)), varied("ddb_two_step", **settings)]
    assert render(rows, "markdown").splitlines()[:4] == [
        "| data set | method | amplifier steps | sampler | guidance w (scale 1 + w) | selection | seeds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| bar | erm | – | – | – | last | 1/1 seeds |",
        "| bar | ddb_two_step | 20 | ancestral | 1 | last | 1/1 seeds |",
    ]
    first, second = csv_lines(rows)
    assert "methods.lff.q" not in first
    assert (first["amplifier.steps"], second["amplifier.steps"], second["sampling.sampler"]) == ("", "20", "ancestral")
    assert json.loads(render(rows, "json"))[1]["settings"]["amplifier.steps"] == 20
    names = ("base", "dataset.conflict_ratio", "amplifier.steps", "methods.x.gamma")
    assert [axis_title(name) for name in names] == ["base", "conflict ratio", "amplifier steps", "gamma"]


def test_signals_have_a_table_with_one_line_for_amplifiers_that_rows_share():
    """Two rows share amplifier a, so the gamma that tells them apart is not the signal's; b has other steps."""
    numbers = {"precision": summary(0.5, 0.125, 2), "auroc": summary(0.875)}
    a, b = Signal(("a",), "synthetic", numbers), Signal(("b",), "real", {"auroc": summary(0.25)})
    rows = [
        varied("erm", None, gamma=None, **{"amplifier.steps": None}),
        varied("one", 1.0, a, gamma=1, **{"amplifier.steps": 20}),
        varied("one", 1.0, a, gamma=2, **{"amplifier.steps": 20}),
        varied("one", None, b, gamma=None, **{"amplifier.steps": 300}),
    ]
    sheet = sheets(rows)[1]
    assert sheet.header[:3] == ["data set", "amplifier steps", "guidance w (scale 1 + w)"]
    assert sheet.header[3:] == ["signals from", "error set: precision", "AUROC"]
    assert sheet.lines == [
        ["bar", "20", "1", "synthetic images", "50.0 ± 12.5 (2)", "87.5 (1)"],
        ["bar", "300", "–", "real images", "–", "25.0 (1)"],
    ]
    assert sheet.caption == ERROR_SET
    assert "| bar | 20 | 1 | synthetic images | 50.0 ± 12.5 (2) | 87.5 (1) |" in render(rows, "markdown")
    assert render(rows, "latex").count(r"\begin{table}") == len(list(terminal_tables(rows))) == 2
    lines = csv_lines(rows)
    assert [line["amplifier_precision_percent_mean"] for line in lines] == ["", "50.0", "50.0", ""]
    assert lines[3]["amplifier_auroc_percent_mean"] == "25.0" and lines[0]["amplifier_auroc_n"] == "0"
    assert len(sheets([FULL, varied("one", signal=Signal(("a",), "synthetic", {}))])) == 1  # no signal was judged


def test_the_papers_number_is_beside_ours_with_the_gap():
    worst = "worst_group_accuracy"
    ours, theirs = {worst: summary(0.885), AVERAGE: summary(0.9)}, {worst: {"mean": 0.91, "std": 0.01}}
    full = Row("waterbirds", "ddb_two_step", "last", 1.0, 1, [0], 0, ours, published=theirs, papers_setting=True)
    rows = [
        full,
        Row("waterbirds", "jtt", "last", None, 1, [], 0, published={worst: {"mean": 0.78, "std": None}}),
        Row("waterbirds", "erm", "last", None, 1, [0], 0, ours),
        replace(full, papers_setting=False),
    ]
    lines = render(rows, "markdown").splitlines()
    assert lines[0] == (
        "| data set | method | guidance w (scale 1 + w) | selection "
        "| average | worst group | paper: worst group | gap: worst group | seeds |"
    )
    assert lines[2].endswith("| 90.0 (1) | 88.5 (1) | 91.0 ± 1.0 | -2.5 | 1/1 seeds |")
    assert lines[3].endswith("| – | – | 78.0 | – | 0/1 seeds, 1 missing |")
    assert lines[4].endswith("| 90.0 (1) | 88.5 (1) | – | – | 1/1 seeds |")
    assert lines[5].endswith("| 91.0 ± 1.0 | – | 1/1 seeds |")
    assert PAPER in caption(rows) and PAPER not in caption(rows[2:3])
    names = [f"paper_{worst}_{part}" for part in ("percent_mean", "percent_std", "gap_points")]
    values = [[line[name] for name in names] for line in csv_lines(rows)[:3]]
    assert values == [["91.0", "1.0", "-2.5"], ["78.0", "", ""], [""] * 3]
