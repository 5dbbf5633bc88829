"""The report's pictures: every tile is the image that its row and column say, and the list is the amplifier's."""

import numpy as np
import pytest

from ddb.artifacts import Store
from ddb.report import report_images
from ddb.report.report_images import conflicts, gallery
from tests.ddb.report.hand_made import complete, dataset, make_plan

VARY = {"vary": {"sampling.guidance": [0, 1]}}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


def colors(part):
    """The one colour of each tile."""
    assert all((image == image[0, 0]).all() for image in part)
    return [tuple(map(int, image[0, 0])) for image in part]


def test_rows_are_guidances_and_columns_the_same_noise(store):
    graph = make_plan(**VARY)
    complete(graph, store)
    found = gallery(graph, store)
    assert (found.classes, found.columns, found.seed) == (("cat", "dog"), 8, 0)
    assert [(strip.title, strip.detail) for strip in found.strips] == [
        ("real, aligned", "66.7% of the training images"),
        ("real, conflicting", "33.3% of the training images"),
        ("w = 0", "scale 1, 90.0% aligned"),
        ("w = 1", "scale 2, 95.0% aligned"),
    ]
    aligned, conflicting, *drawn = found.strips
    assert [colors(part) for part in aligned.parts] == [[(0,) * 3, (10,) * 3], [(30,) * 3, (40,) * 3]]
    assert [colors(part) for part in conflicting.parts] == [[(20,) * 3], [(50,) * 3]]
    for guidance, strip in enumerate(drawn):
        assert [colors(part) for part in strip.parts] == [[(guidance, c, i) for i in range(3)] for c in (0, 1)]
    assert found.notes == []


def test_the_lowest_finished_seed_and_what_it_still_misses(store):
    graph = make_plan(**VARY)
    complete(graph, store, skip=("synthetic", "alignment", "amplifier", "target"))
    assert gallery(graph, store).notes == ["No synthetic set of this data set is finished yet."]
    assert gallery(graph, store).seed is None
    later = [drawn for drawn in graph.synthetic.values() if (drawn.seed, drawn.sampling.guidance) == (1, 1)]
    only = make_plan("seeds=[1]", vary={"sampling.guidance": [1]})
    complete(only, store, skip=("amplifier", "target", "alignment"))
    assert store.has(later[0].stage)
    found = gallery(graph, store)
    assert found.seed == 1
    assert [(strip.title, strip.detail) for strip in found.strips[2:]] == [("w = 1", "scale 2")]
    assert found.notes == [
        "Not drawn yet: w = 0.",
        "Where no share of aligned images is given, it is not measured yet.",
    ]


def test_sets_of_one_guidance_are_told_apart_and_no_more_than_fit_are_shown(store, monkeypatch):
    graph = make_plan("seeds=[0]", vary={"sampling.sampler_steps": [8, 10]})
    complete(graph, store)
    found = gallery(graph, store)
    assert [strip.detail for strip in found.strips[2:]] == [
        "scale 2, sampler steps 8, 95.0% aligned",
        "scale 2, sampler steps 10, 95.0% aligned",
    ]
    monkeypatch.setattr(report_images, "SETS", 1)
    monkeypatch.setattr(report_images, "CLASSES", 1)
    found = gallery(graph, store)
    assert len(found.strips) == 3 and all(len(strip.parts) == 1 for strip in found.strips)
    assert found.notes == ["The first 1 of 2 synthetic sets.", "The first 1 of 2 classes."]


def test_without_bias_labels_real_images_are_of_one_kind(store):
    graph = make_plan(**VARY)
    complete(graph, store, dataset(bias_labels=False), skip=("alignment",))
    found = gallery(graph, store)
    assert [strip.title for strip in found.strips] == ["real", "w = 0", "w = 1"]
    assert [len(part) for part in found.strips[0].parts] == [3, 3]
    assert {image.conflicting for image in conflicts(graph, store).images} == {None}
    assert conflicts(graph, store).conflicting is None


def test_the_list_begins_with_the_highest_loss(store, monkeypatch):
    graph = make_plan(**VARY)
    complete(graph, store, skip=("target",))
    found = conflicts(graph, store)
    assert [image.path for image in found.images] == [f"train/{i}.png" for i in (2, 5, 4, 3, 1, 0)]
    first, second = found.images[:2]
    assert (first.label, first.predicted, first.score, first.conflicting) == ("cat", "dog", 7.5, True)
    assert (second.label, second.predicted, second.score, second.conflicting) == ("dog", "cat", 5.0, True)
    assert [image.conflicting for image in found.images] == [True, True, False, False, False, False]
    assert (first.image == 20).all() and first.image.shape == (8, 8, 3)
    assert (found.total, found.conflicting, found.found) == (6, 2, 2)
    assert found.run.stage.inputs["synthetic"].config["sampling"]["guidance"] == 0
    monkeypatch.setattr(report_images, "CONFLICTS", 1)
    assert [image.path for image in conflicts(graph, store).images] == ["train/2.png"]


def test_nothing_finished_is_nothing(store):
    graph = make_plan(**VARY)
    assert gallery(graph, store) is None and conflicts(graph, store) is None


def test_large_images_are_made_smaller():
    large = np.zeros((200, 100, 3), np.uint8)
    assert report_images._reduced(large, 48).shape == (48, 24, 3)
    assert report_images._reduced(large[:40, :30], 48).shape == (40, 30, 3)
