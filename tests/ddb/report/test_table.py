"""Rows of the table: numbers by hand, what is told apart, what is not known, and the paper's numbers beside ours."""

import json
import math
from dataclasses import replace

import pytest

from ddb.artifacts import Stage
from ddb.config import methods
from ddb.config_file import load, resolve
from ddb.experiment import plan
from ddb.report.paper import published, setting_is_known
from ddb.report.table import rows, summarize

WATERBIRDS = "configs/benchmarks/waterbirds.yaml"


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
    drawn = fake.draw(2, 1.0)
    fake.add("erm", 4, metrics(0.8))
    fake.store.fail(fake.add("erm", 1), "the loss is not finite")  # itself
    fake.add("erm", 2, amplifier=fake.amplify(2, drawn))  # three stages up
    fake.store.fail(drawn.inputs["cdpm"], "out of memory")
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


def test_rows_go_by_data_set_and_method_each_as_the_plan_first_has_it(fake):
    for dataset in ("bar", "bffhq"):
        for steps in (20, 5):
            for method in ("group_dro", "erm"):
                fake.add(method, 0, dataset=dataset, settings={"training.steps": steps})
    assert [(row.dataset, row.method, row.settings["training.steps"]) for row in rows(fake, fake.store)] == [
        ("bar", "group_dro", 20),
        ("bar", "group_dro", 5),
        ("bar", "erm", 20),
        ("bar", "erm", 5),
        ("bffhq", "group_dro", 20),
        ("bffhq", "group_dro", 5),
        ("bffhq", "erm", 20),
        ("bffhq", "erm", 5),
    ]


def test_settings_that_have_a_column_of_their_own_are_not_settings_of_the_row(fake):
    settings = {"dataset.name": "bar", "sampling.guidance": 3, "amplifier.steps": 20}
    fake.add("ddb_two_step", 0, guidance=3.0, settings=settings)
    (row,) = rows(fake, fake.store)
    assert row.settings == {"amplifier.steps": 20} and row.as_json()["settings"] == {"amplifier.steps": 20}


def test_a_method_that_a_setting_does_not_touch_is_one_row(fake):
    """Two counts of synthetic images: two rows of Recipe I, one of ERM, whose two seeds are trained once each."""
    values = {"methods": {"erm": {}, "ddb_two_step": {}}, "seeds": [0, 1]}
    graph = plan(resolve(values | {"vary": {"sampling.images_per_class": [5, 10], "sampling.guidance": [1]}}))
    assert [(row.method, row.settings, row.guidance, row.planned) for row in rows(graph, fake.store)] == [
        ("erm", {"sampling.images_per_class": None}, None, 2),
        ("ddb_two_step", {"sampling.images_per_class": 5}, 1.0, 2),
        ("ddb_two_step", {"sampling.images_per_class": 10}, 1.0, 2),
    ]


def test_the_signal_behind_a_row_by_hand(fake):
    for seed, (share, precision) in enumerate(((0.9, 0.5), (1.0, None), (None, 0.7))):
        quality = {"precision": precision, "recall": 0.25 * seed, "auroc": 0.9}
        amplifier = fake.amplify(seed, fake.draw(seed, 1.0, share), quality=quality)
        fake.add("ddb_two_step", seed, guidance=1.0, amplifier=amplifier)
    (row,) = rows(fake, fake.store)
    assert row.signal.source == "synthetic" and len(set(row.signal.amplifiers)) == 3
    # precision: 0.5 and 0.7, mean 0.6, deviations +-0.1, sqrt(0.02 / 1); the empty error set of seed 1 has none
    assert row.signal.numbers["precision"] == pytest.approx({"mean": 0.6, "std": math.sqrt(0.02), "n": 2})
    assert row.signal.numbers["recall"] == pytest.approx({"mean": 0.25, "std": 0.25, "n": 3})
    assert row.signal.numbers["aligned_share"] == pytest.approx({"mean": 0.95, "std": math.sqrt(0.005), "n": 2})
    assert row.as_json()["amplifier"] == {"source": "synthetic", **row.signal.numbers}


def test_an_amplifier_of_real_images_has_no_synthetic_images_to_judge(fake):
    fake.draw(0, 1.0, 0.9)
    fake.add("ddb_two_step", 0, amplifier=fake.amplify(0, quality={"precision": 0.5, "recall": 0.5, "auroc": 0.5}))
    fake.add("erm", 0)
    row, erm = rows(fake, fake.store)
    assert row.signal.source == "real" and list(row.signal.numbers) == ["precision", "recall", "auroc"]
    assert erm.signal is None and "amplifier" not in erm.as_json()


def paper(overrides=(), path=WATERBIRDS):
    """The paper's numbers beside each row of a configuration."""
    config = load(path, list(overrides)).config
    return {row.label: published(config, row, row.method.needs_signals) for row in methods(config)}


def test_the_papers_setting_has_the_papers_numbers():
    found = paper()
    assert found["erm"]["worst_group_accuracy"] == pytest.approx({"mean": 0.626, "std": 0.003})
    assert found["ddb_two_step"]["worst_group_accuracy"] == pytest.approx({"mean": 0.9081, "std": 0.0068})
    assert found["ddb_two_step_error_set"]["worst_group_accuracy"] == pytest.approx({"mean": 0.9034, "std": 0.0041})
    assert found["ddb_end_to_end"]["worst_group_accuracy"] == pytest.approx({"mean": 0.9156, "std": 0.0015})
    assert found["group_dro"]["worst_group_accuracy"] == pytest.approx({"mean": 0.914, "std": 0.011})
    assert paper(["dataset.root=/elsewhere", "seeds=[7]", "resources.cell_cpus=1", "memorisation=false"]) == found


@pytest.mark.parametrize("override", ["dataset.image_size=128", "training.network=resnet18"])
def test_any_other_setting_has_no_numbers_of_the_papers(override):
    assert set(paper([override])) == set(paper()) and not any(paper([override]).values())


@pytest.mark.parametrize("override", ["cdpm.steps=99999", "sampling.guidance=3", "amplifier.steps=10", "preset=fast"])
def test_what_makes_the_signal_concerns_the_methods_that_use_it(override):
    found, changed = paper(), paper([override])
    kept = {"erm", "group_dro", "lff", "jtt"}
    assert {label for label, numbers in changed.items() if numbers} == kept
    assert all(changed[label] == found[label] for label in kept)


def test_a_setting_of_one_row_concerns_that_row():
    found, changed = paper(), paper(["methods.ddb_two_step.gamma=2"])
    assert changed.pop("ddb_two_step") == {} != found.pop("ddb_two_step") and changed == found


def test_a_data_set_that_is_not_in_the_paper_has_no_numbers_of_the_papers():
    assert not any(paper(path="configs/colored_digits.yaml").values())


@pytest.mark.parametrize(
    ("changed", "known"),
    [("", True), ("  optimizer: adamw  # [ours]\n", False), ("  evaluate_every: 9\n", True), ("  depth: 3\n", False)],
)
def test_a_setting_is_known_where_every_value_was_seen_in_paper_or_code(tmp_path, monkeypatch, changed, known):
    (tmp_path / "benchmarks").mkdir()
    text = (
        "dataset:\n  name: new\n  size: 64  # [paper]\ncdpm:\n  steps: 3  # [ours]\ntraining:\n  steps: 4  # [code]\n"
    )
    (tmp_path / "benchmarks" / "new.yaml").write_text(f"{text}{changed}\nmethods:\n  erm: {{}}\n  jtt: {{steps: 3}}\n")
    monkeypatch.setattr("ddb.report.paper.CONFIGS", tmp_path)
    setting_is_known.cache_clear()
    assert setting_is_known("new", "erm", False) == known
    assert not setting_is_known("new", "erm", True) and not setting_is_known("new", "jtt", False)
    assert not setting_is_known("no_benchmark", "erm", False)
    setting_is_known.cache_clear()


def test_the_papers_number_and_the_gap_to_it_are_in_the_row(fake):
    config = load(WATERBIRDS).config
    known = {row.label: row for row in methods(config)}
    for method, reached in (("ddb_two_step", {"worst_group_accuracy": 0.8881}), ("erm", None)):
        fake.add(method, 0, reached, dataset="waterbirds")
        fake.cells[-1] = replace(fake.cells[-1], config=config, row=known[method])
    ours, missing = rows(fake, fake.store)
    assert ours.gap("worst_group_accuracy") is None  # the amplifier's settings are ours, not the paper's
    ours = replace(ours, papers_setting=True)
    assert ours.gap("worst_group_accuracy") == pytest.approx(-0.02)  # 88.81 - 90.81
    assert ours.as_json()["paper"]["worst_group_accuracy"] == pytest.approx(
        {"mean": 0.9081, "std": 0.0068, "gap": -0.02}
    )
    assert missing.as_json()["paper"]["worst_group_accuracy"]["gap"] is None
    assert ours.gap("average_accuracy") is None
