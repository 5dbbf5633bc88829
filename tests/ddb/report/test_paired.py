"""Paired differences: numbers by hand, which row is compared with which, and how they are shown."""

import csv
import io
import json
import math

import pytest

from ddb.errors import DDBError
from ddb.report.paired import differences, interval, render_differences
from ddb.report.table import Row

METRIC = "conflicting_accuracy"


def row(method, values, guidance=None):
    by_seed = {METRIC: dict(enumerate(values))}
    seeds, oracle = list(by_seed[METRIC]), method == "group_dro"
    return Row("digits", method, "last", guidance, 3, seeds, 0, by_seed=by_seed, oracle=oracle)


def test_an_interval_by_hand():
    """0.1, 0.2, 0.3: mean 0.2, deviation 0.1, t with 2 degrees of freedom 4.3027: 4.3027 * 0.1 / sqrt(3) = 0.24842."""
    found = interval([0.1, 0.2, 0.3])
    assert found == pytest.approx({"mean": 0.2, "low": 0.2 - 0.24842, "high": 0.2 + 0.24842, "n": 3}, abs=1e-5)
    assert interval([0.4]) == {"mean": 0.4, "low": None, "high": None, "n": 1}


def test_differences_are_paired_by_the_seeds_that_both_rows_have():
    """The rows spread by 30 points over the seeds, their difference by none."""
    erm, dro = row("erm", [0.3, 0.5, 0.6]), row("group_dro", [0.4, 0.6, 0.7])
    (found,) = differences([erm, dro], "erm")
    assert found.row is dro and found.reference is erm
    assert found.metrics[METRIC] == pytest.approx({"mean": 0.1, "low": 0.1, "high": 0.1, "n": 3})
    assert differences([erm, row("group_dro", [0.4, 0.7])], "erm")[0].metrics[METRIC]["n"] == 2
    assert differences([erm, row("group_dro", [])], "erm")[0].metrics == {}


GRID = [row("erm", [0.5]), *(row("ddb_two_step", [0.5], w) for w in (0.0, 1.0)), row("lff_ddb", [0.6], 1.0)]


def seen(against, rows=GRID):
    return [(each.row.method, each.row.guidance, each.reference) for each in differences(rows, against)]


def test_a_row_is_compared_at_its_own_settings_or_at_those_that_are_named():
    erm, plain, guided, lff = GRID
    assert seen("erm") == [("ddb_two_step", 0.0, erm), ("ddb_two_step", 1.0, erm), ("lff_ddb", 1.0, erm)]
    named = [("erm", None, guided), ("ddb_two_step", 0.0, guided), ("lff_ddb", 1.0, guided)]
    assert seen("ddb_two_step sampling.guidance=1") == named
    assert seen("ddb_two_step", [plain, guided, lff]) == [("lff_ddb", 1.0, guided)]


@pytest.mark.parametrize(
    ("against", "message"),
    [
        ("ermm", r"--against: no row 'ermm'; .*erm"),
        ("", r"--against: no row ''"),
        ("ddb_two_step", r"2 rows of digits are 'ddb_two_step'; .* 'ddb_two_step sampling\.guidance=0'"),
        ("ddb_two_step sampling.guidance=3", r"no row of digits is 'ddb_two_step sampling\.guidance=3'"),
    ],
)
def test_a_row_that_is_not_one_is_refused(against, message):
    with pytest.raises(DDBError, match=message):
        differences(GRID, against)


def test_all_formats():
    found = differences([row("erm", [0.5, 0.5, 0.5]), row("group_dro", [0.6, 0.7, 0.8])], "erm")
    half = 100 * 4.302653 * 0.1 / math.sqrt(3)  # 24.8
    cell = f"+20.0 [{20 - half:+.1f}, {20 + half:+.1f}] (3)"
    lines = render_differences(found, "erm", "markdown").splitlines()
    assert lines[2] == f"| digits | group_dro (oracle) | – | {cell} |" and "Difference to erm in points" in lines[4]
    assert cell in render_differences(found, "erm", "latex")
    assert list(csv.reader(io.StringIO(render_differences(found, "erm", "csv"))))[1] == [
        "digits",
        "group_dro",
        "–",
        cell,
    ]
    assert "(oracle): the method needs bias labels" in lines[4]
    (value,) = json.loads(render_differences(found, "erm", "json"))
    assert value["against"]["method"] == "erm" and value["differences"][METRIC]["n"] == 3
