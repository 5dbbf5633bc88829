"""The verdict and its evidence by hand, what is refused, and the list as files."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from ddb.audit.audit import Evidence, Observations, audit_graph, clusters, suggestions, weigh, write_scores
from ddb.audit.evidence import Interval, interval
from ddb.audit.second_opinion import Opinion
from ddb.data import BiasedDataset, Split
from ddb.errors import DDBError
from ddb.experiment.config import check
from ddb.signals.table import Signals


def bits(*rows):
    return np.array([[c == "1" for c in row] for row in rows])


def test_the_evidence_by_hand_on_the_images_that_each_seeds_amplifier_flags():
    """Seed 0 flags image 0, where debiasing helps; seed 1 flags images 0 and 1, where ERM is right too. One cluster."""
    seen = Observations(
        flagged=bits("1000", "1100"),
        erm=bits("0000", "1111"),
        debiased=bits("1111", "1111"),
        control=bits("1000", "0011"),
        cluster=np.array([5, 5, 6, 7]),
    )
    found = weigh(seen)
    assert (found.seeds, found.validation, found.flagged, found.clusters) == (2, 4, 2, 1)
    assert (found.erm, found.debiased, found.control) == pytest.approx((2 / 3, 1, 1 / 3))
    assert found.gain.estimate == pytest.approx(1 / 3) and found.lead.estimate == pytest.approx(2 / 3)
    assert found.gain.seeds == pytest.approx(1 / 4)
    assert found.gain == interval(seen.debiased.astype(int) - seen.erm, seen.flagged, seen.cluster)


def evidence(gain, lead=None, seeds=2):
    return Evidence(seeds, 200, 100, 100, 0.5, 0.7, 0.6, gain, lead or Interval(0.1, 0.05, 0.15))


@pytest.mark.parametrize(
    ("gain", "lead", "verdict"),
    [
        ((0.20, 0.10, 0.30), (0.10, 0.05, 0.15), "shortcut"),
        ((0.20, -0.01, 0.30), (0.10, 0.05, 0.15), "unclear"),  # large, but may be an accident
        ((0.04, 0.01, 0.07), (0.10, 0.05, 0.15), "unclear"),  # no accident, but may be too small to matter
        ((0.03, 0.02, 0.04), (0.03, 0.02, 0.04), "none"),  # surely too small to matter
        ((0.20, 0.10, 0.30), (0.02, -0.05, 0.09), "unclear"),  # other hard images may help as much
        ((0.00, -0.06, 0.06), (0.00, -0.06, 0.06), "unclear"),  # too few images to exclude 5 points
        ((0.00, -0.04, 0.04), (0.00, -0.04, 0.04), "none"),
    ],
)
def test_the_verdict_needs_a_gain_that_is_large_and_no_accident_and_that_hardness_does_not_explain(gain, lead, verdict):
    assert evidence(Interval(*gain), Interval(*lead)).verdict == verdict


def test_nothing_flagged_is_no_evidence():
    seen = Observations(*[bits("0000")] * 4, np.arange(4))
    found = weigh(seen)
    assert (found.verdict, found.more_images, found.erm) == ("unclear", None, None)
    assert found.reason == "The source of signals flags 0 of 4 validation images: nothing can be compared."


def test_how_many_more_images_would_settle_it():
    """The half-width 0.196 must come down to 0.02 / 1.43: 196.39 times the 200 images, 39,078 more."""
    found = evidence(Interval(0.03, -0.166, 0.226, images=0.01))
    assert found.verdict == "unclear" and found.more_images == 40_000  # two digits, upwards
    assert "About 40,000 more validation images would likely settle it (an estimate" in found.reason
    narrow = evidence(Interval(0.2, -0.05, 0.45, images=0.016))
    assert narrow.more_images == 430  # (0.248 * 1.43 / 0.2)^2 = 3.142 times the 200 images, by the gain alone


def test_where_more_images_would_not_settle_it():
    hard = evidence(Interval(0.2, 0.1, 0.3, images=0.0026), Interval(-0.01, -0.1, 0.08, images=0.002))
    assert hard.more_images is None and "weighting other hard images helps as much" in hard.reason
    apart = evidence(Interval(0.1, -0.3, 0.5, images=0.001, seeds=0.02, quantile=4.3))
    assert apart.more_images is None and "more seeds might" in apart.reason


def test_the_reason_has_the_numbers_and_what_is_not_in_them():
    found = evidence(Interval(0.2, 0.1, 0.3))
    assert "which count as" not in found.reason and "One seed" not in found.reason
    assert "right in 70% of the cases and plain training (ERM) in 50%: a gain of 20.0 points (95% interval 10.0 to 30.0)" in found.reason  # fmt: skip # noqa: E501
    assert "A control that weights other hard images is right in 60%: the debiased model leads by 10.0 points" in found.reason  # fmt: skip # noqa: E501
    one = dataclasses.replace(found, seeds=1, clusters=10).reason
    assert one.startswith("The source of signals flags 100 of 200 validation images, which count as 10,")
    assert one.endswith("With one seed, the intervals do not say what another training would give.")


def test_the_plan_has_the_control_with_the_recipes_settings_and_every_seed():
    config = check({"methods": {"lff": {}, "ddb_two_step": {"gamma": 2, "steps": 7}}, "seeds": [3, 4]})
    cells = {(cell.method, cell.seed): cell for cell in audit_graph(config).cells}
    rows = ("erm", "ddb_two_step", "ddb_two_step_control")
    assert set(cells) == {(name, seed) for name in rows for seed in (3, 4)}
    control, recipe = cells["ddb_two_step_control", 4], cells["ddb_two_step", 4]
    assert control.row.settings.model_dump() == recipe.row.settings.model_dump() and recipe.row.settings.gamma == 2
    assert control.classifier.inputs["amplifier"].key == recipe.classifier.inputs["amplifier"].key


@pytest.mark.parametrize("values", [{"methods": {"erm": {"selection": "val_average"}}}, {"methods": {"ddb_two_step": {"selection": "val_pseudo_worst_group"}}}, {"methods": {"erm": {}}, "training": {"selection": "val_average"}}])  # fmt: skip # noqa: E501
def test_a_choice_by_the_validation_images_is_refused(values):
    with pytest.raises(
        DDBError, match=r"^methods\.\w+\.selection: val_\w+ chooses by the validation images, which are"
    ):
        audit_graph(check(values))


def dataset(name, images, paths):
    split = Split(images, np.zeros(len(paths), int), paths)
    return BiasedDataset(name, ("a", "b"), {}, {"val": split})


def test_colourings_of_one_scan_or_else_near_duplicates_among_the_flagged_are_one_cluster():
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    val = dataset("colored_digits", images[:3], ["scan0001_3_red.png", "scan0002_3_red.png", "scan0001_3_blue.png"])
    assert clusters(val, np.ones(3, bool)).tolist() == [0, 1, 0]
    images[[1, 2, 4]] = images[0]
    found = clusters(dataset("folder", images, list("abcde")), np.array([True, True, False, True, True]))
    assert found[0] == found[1] == found[4] and len(set(found)) == 3


@pytest.mark.parametrize("labelled", [True, False])
def test_the_list_has_every_image_the_lowest_score_first(tmp_path, labelled):
    labels, logits = np.array([0, 1, 1]), np.array([[2.2, 0], [3, 0], [0, 0.5]])
    aligned = np.array([True, False, True]) if labelled else None
    train = Split(None, labels, ['a "b", <i>.png', "c.png", "d.png"], None, aligned)
    val = Split(None, np.array([0]), ["e.png"], None, aligned if aligned is None else aligned[:1])
    splits = {"train": train, "val": val}
    signals = {"train": Signals.of_logits(logits, train), "val": Signals.of_logits(logits[:1], val)}
    second = np.array([False, True, False])
    opinion = Opinion(second, np.array([1, 0.1, 0.5]), np.array([0, 0, 1]), second)
    result = SimpleNamespace(
        signals=signals,
        opinions={"train": opinion},
        dataset=BiasedDataset("mine", ("cat", "dog"), {}, splits),
        evidence=evidence(Interval(0.2, 0.1, 0.3)),
        amplifier=SimpleNamespace(config={"amplifier": {"source": "lda"}}),
        precision=None,
        recall=None,
    )
    paths = write_scores(result, tmp_path)
    parquet, text = pq.read_table(paths[0]), pyarrow.csv.read_csv(paths[1])
    names = ["c.png", "d.png", 'a "b", <i>.png', "e.png"]
    assert parquet["file_name"].to_pylist() == text["file_name"].to_pylist() == names
    assert parquet["split"].to_pylist() == ["train"] * 3 + ["val"]
    assert parquet["label"].to_pylist()[:2] == ["dog", "dog"] and parquet["predicted"][0].as_py() == "cat"
    assert parquet["is_shortcut_conflict_issue"].to_pylist() == [True, False, False, False]
    assert parquet["shortcut_conflict_score"].to_numpy()[:2] == pytest.approx([1 / (1 + np.exp(3)), 0.6225], rel=1e-3)
    assert parquet["suggestion"].to_pylist() == ["check the label", "", "", None]
    assert ("bias_label_conflicting" in parquet.column_names) is labelled
    summary = json.loads(paths[2].read_text())
    assert (summary["verdict"], summary["flagged"], summary["images"]) == ("shortcut", 1, 4)
    assert summary["gain"] == {"estimate": 0.2, "low": 0.1, "high": 0.3}


def test_a_flagged_image_breaks_the_shortcut_unless_a_debiased_model_agrees_with_the_source():
    split = Split(None, np.array([0, 0, 0]), list("abc"))
    signals = Signals.of_logits(np.array([[0, 1, 0], [0, 1, 0], [1, 0, 0]]), split)
    opinion = Opinion(np.ones(3, bool), np.ones(3), np.array([1, 2, 0]), np.array([1, 0, 0], bool))
    assert suggestions(signals, opinion).tolist() == ["check the label", "breaks the shortcut", ""]
