"""What a run ends with. By hand: erm 50 and 60 %; others 90 and 100 % at w = 0, and 9 % less for each unit of w."""

import pytest

from ddb.experiment.results import Results
from ddb.report.conclusion import conclusion
from ddb.report.table import rows
from ddb.store import Store
from tests.ddb.report.hand_made import complete, make_plan

BEGIN = "conflicting accuracy against erm, in points [95 % interval] (seeds): "


def said(tmp_path, *overrides, **values):
    graph, store = make_plan(*overrides, **values), Store(tmp_path)
    complete(graph, store)
    return conclusion(rows(Results(graph, store)))


@pytest.mark.parametrize(
    ("guidances", "text"),
    [
        ([1], "ddb_two_step +31.0 [+31.0, +31.0] (2)"),
        ([0, 1], "ddb_two_step (w = 1) +31.0 [+31.0, +31.0] (2), ddb_two_step (w = 0) +40.0 [+40.0, +40.0] (2)"),
        (
            [0, 1, 2, 3, 4],
            "from ddb_two_step (w = 4) +4.0 [+4.0, +4.0] (2) to ddb_two_step (w = 0) +40.0 "
            "[+40.0, +40.0] (2), of 5 rows",
        ),
    ],
)
def test_every_row_that_amplifies_the_bias_is_named_or_the_lowest_and_the_highest(tmp_path, guidances, text):
    vary = {"sampling.guidance": guidances} if len(guidances) > 1 else None
    assert said(tmp_path, **({"vary": vary} if vary else {})) == BEGIN + text


def test_nothing_is_concluded_without_plain_training_or_without_an_amplifier(tmp_path):
    assert said(tmp_path, methods={"ddb_two_step": {}, "jtt": {}}) == ""
    assert said(tmp_path, methods={"erm": {}, "group_dro": {}}) == ""
