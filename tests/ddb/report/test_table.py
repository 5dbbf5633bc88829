import json
import math

import pytest

from ddb.artifacts import Stage
from ddb.report.table import rows, summarize


def metrics(average, conflicting=None):
    if conflicting is None:
        return {"average_accuracy": average}
    names = ("average_accuracy", "conflicting_accuracy", "aligned_accuracy", "worst_group_accuracy")
    return dict(zip(names, (average, conflicting, 1.0, 0.25), strict=True)) | {"group_accuracy": {"0/aligned": 1.0}}


def test_mean_and_sample_deviation_by_hand(fake):
    for seed, conflicting in enumerate((0.6, 0.7, 0.8)):
        fake.add("erm", seed, metrics(0.9, conflicting))
    (row,) = rows(fake, fake.store)
    # mean (0.6 + 0.7 + 0.8) / 3 = 0.7; deviations -0.1, 0, 0.1; sqrt(0.02 / (3 - 1)) = 0.1
    assert row.metrics["conflicting_accuracy"] == pytest.approx({"mean": 0.7, "std": 0.1, "n": 3})
    assert row.metrics["aligned_accuracy"] == {"mean": 1.0, "std": 0.0, "n": 3}
    # 0.5 and 0.8: mean 0.65; deviations +-0.15; sqrt(0.045 / 1)
    assert summarize([0.5, 0.8]) == pytest.approx({"mean": 0.65, "std": math.sqrt(0.045), "n": 2})


def test_the_json_has_exactly_these_keys(fake):
    fake.add("ddb_two_step", 0, metrics(0.9, 0.8), guidance=1.0)
    (row,) = rows(fake, fake.store)
    assert row.as_json() == {
        "dataset": "colored_digits",
        "method": "ddb_two_step",
        "selection": "last",
        "guidance": 1.0,
        "seeds": [0],
        "failed": 0,
        "metrics": {
            "average_accuracy": {"mean": 0.9, "std": None, "n": 1},
            "conflicting_accuracy": {"mean": 0.8, "std": None, "n": 1},
            "aligned_accuracy": {"mean": 1.0, "std": None, "n": 1},
            "worst_group_accuracy": {"mean": 0.25, "std": None, "n": 1},
        },
    }
    assert json.loads(json.dumps(row.as_json())) == row.as_json()


def test_without_bias_labels_group_metrics_are_absent(fake):
    fake.add("erm", 0, metrics(0.5))
    (row,) = rows(fake, fake.store)
    assert list(row.metrics) == ["average_accuracy"]


def test_failed_and_missing_cells_are_told_apart(fake):
    cdpm = Stage("cdpm", {"seed": 2}, 1)
    synthetic = Stage("synthetic", {}, 1, {"cdpm": cdpm})
    fake.add("erm", 4, metrics(0.8))
    fake.store.fail(fake.add("erm", 1), "the loss is not finite")  # itself
    fake.add("erm", 2, amplifier=synthetic)  # two stages up
    fake.store.fail(cdpm, "out of memory")
    fake.add("erm", 3)  # has not run
    fake.add("erm", 0, metrics(0.6))
    (row,) = rows(fake, fake.store)
    assert (row.seeds, row.failed, row.planned, row.complete) == ([0, 4], 2, 5, False)
    assert row.metrics["average_accuracy"]["n"] == 2
    assert row.state == "2/5 seeds, 2 failed, 1 missing"


def test_a_finished_cell_has_not_failed_whatever_an_ancestor_says(fake):
    data = Stage("data", {"seed": 1}, 1)
    fake.add("erm", 0, metrics(0.6), data=data)
    fake.store.fail(data, "a later attempt to rebuild it")
    (row,) = rows(fake, fake.store)
    assert (row.seeds, row.failed, row.state) == ([0], 0, "1/1 seeds")


def test_before_anything_has_run_every_row_is_there_without_numbers(fake):
    fake.add("erm", 0)
    (row,) = rows(fake, fake.store)
    assert (row.seeds, row.failed, row.metrics) == ([], 0, {})
    assert row.state == "0/1 seeds, 1 missing"


def test_methods_guidances_and_criteria_are_rows_of_their_own_in_the_plans_order(fake):
    for seed in (0, 1):
        for guidance in (3.0, 0.0):
            fake.add("ddb_two_step", seed, metrics(0.5), guidance=guidance)
        fake.add("erm", seed, metrics(0.5))
        fake.add("erm", seed, metrics(0.5), selection="val_average")
    table = rows(fake, fake.store)
    assert [(row.method, row.guidance, row.selection) for row in table] == [
        ("ddb_two_step", 3.0, "last"),
        ("ddb_two_step", 0.0, "last"),
        ("erm", None, "last"),
        ("erm", None, "val_average"),
    ]
    assert all(row.seeds == [0, 1] for row in table)
