"""What the report is made of: titles of stages, configurations that repeat the experiment, and pictures in order."""

import pytest
import yaml

from ddb.experiment.config_file import CONFIGS, load, resolve
from ddb.experiment.graph import build_graph
from ddb.experiment.results import Results
from ddb.report import report_images
from ddb.report.report_data import Report
from ddb.report.report_images import conflicts, gallery
from tests.ddb.report.hand_made import GUIDED, complete, make_plan


def test_titles_of_stages_have_what_varies(store):
    vary = {"sampling.guidance": [1], "dataset.conflict_ratio": [0.1, 0.2]}
    graph = make_plan("seeds=[0]", vary=vary, memorisation=True)
    titles = [facts.title for facts in Report(Results(graph, store)).stages.values()]
    assert {
        "data colored_digits conflict ratio=0.1",
        "cdpm conflict ratio=0.2 seed 0",
        "synthetic w=1 conflict ratio=0.1 seed 0",
        "alignment w=1 conflict ratio=0.2 seed 0",
        "amplifier synthetic w=1 conflict ratio=0.1 seed 0",
        "amplifier real conflict ratio=0.1 seed 0",
        "classifier erm conflict ratio=0.2 seed 0",
    } <= set(titles)


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("colored_digits", [""]),
        ("ablations/guidance", [""]),
        ("ablations/sampler", [""]),  # several grids
        ("benchmarks/bar_small", [""]),
        ("tables/recipe_1", ["colored_digits", "bar_small"]),  # a file for each data set
    ],
)
def test_the_configurations_repeat_the_experiment(name, titles, store):
    vary = [f"vary.base=[{', '.join(titles)}]"] if len(titles) > 1 else []
    graph = build_graph(load(CONFIGS / f"{name}.yaml", ["seeds=[0]", *vary]))
    found = Report(Results(graph, store)).configurations
    assert [title for title, _ in found] == titles
    again = [build_graph(resolve(yaml.safe_load(text))) for _, text in found]
    assert [cell.stage.key for each in again for cell in each.cells] == [cell.stage.key for cell in graph.cells]
    assert {stage.key for each in again for stage in each.stages()} == {stage.key for stage in graph.stages()}


def colors(part):
    """The one colour of each tile."""
    assert all((image == image[0, 0]).all() for image in part)
    return [tuple(map(int, image[0, 0])) for image in part]


def test_rows_of_pictures_are_guidances_and_columns_the_same_noise(store):
    graph = make_plan(**GUIDED)
    complete(graph, store)
    found = gallery(graph, store)
    assert (found.classes, found.columns, found.seed, found.notes) == (("cat", "dog"), 8, 0, [])
    assert [(strip.title, strip.detail) for strip in found.strips] == [
        ("real, aligned", "66.7% of the training images"),
        ("real, conflicting", "33.3% of the training images"),
        ("w = 0", "scale 1, 90.0% aligned"),
        ("w = 1", "scale 2, 95.0% aligned"),
    ]
    aligned, conflicting, *synthetic = found.strips
    assert [colors(part) for part in aligned.parts] == [[(0,) * 3, (10,) * 3], [(30,) * 3, (40,) * 3]]
    assert [colors(part) for part in conflicting.parts] == [[(20,) * 3], [(50,) * 3]]
    for guidance, strip in enumerate(synthetic):
        assert [colors(part) for part in strip.parts] == [[(guidance, c, i) for i in range(3)] for c in (0, 1)]


def test_pictures_are_of_the_lowest_finished_seed_with_notes_on_missing_sets(store):
    graph = make_plan(**GUIDED)
    complete(graph, store, skip=("synthetic", "alignment", "amplifier", "classifier", "evaluation"))
    found = gallery(graph, store)
    assert (found.seed, found.notes) == (None, ["No synthetic set of this data set is finished yet."])
    only = make_plan("seeds=[1]", vary={"sampling.guidance": [1]})
    complete(only, store, skip=("amplifier", "classifier", "evaluation", "alignment"))
    found = gallery(graph, store)
    assert found.seed == 1
    assert [(strip.title, strip.detail) for strip in found.strips[2:]] == [("w = 1", "scale 2")]
    assert found.notes == [
        "Not drawn yet: w = 0.",
        "Where no share of aligned images is given, it is not measured yet.",
    ]


def test_sets_of_one_guidance_have_their_settings_and_a_note_counts_what_does_not_fit(store, monkeypatch):
    graph = make_plan("seeds=[0]", vary={"sampling.sampler_steps": [8, 10]})
    complete(graph, store)
    assert [strip.detail for strip in gallery(graph, store).strips[2:]] == [
        "scale 2, sampler steps 8, 95.0% aligned",
        "scale 2, sampler steps 10, 95.0% aligned",
    ]
    monkeypatch.setattr(report_images, "CLASSES", 1)
    found = gallery(graph, store, most=1)
    assert len(found.strips) == 3 and all(len(strip.parts) == 1 for strip in found.strips)
    assert found.notes == ["The first 1 of 2 synthetic sets.", "The first 1 of 2 classes."]


def test_the_list_begins_with_the_highest_loss(store, monkeypatch):
    graph = make_plan(**GUIDED)
    complete(
        graph,
        store,
        skip=(
            "classifier",
            "evaluation",
        ),
    )
    found = conflicts(graph, store)
    assert [image.path for image in found.images] == [f"train/{i}.png" for i in (2, 5, 4, 3, 1, 0)]
    first = found.images[0]
    assert (first.label, first.predicted, first.score, first.conflicting) == ("cat", "dog", 7.5, True)
    assert (first.image == 20).all() and first.image.shape == (8, 8, 3)
    assert (found.total, found.conflicting, found.found) == (6, 2, 2)
    assert found.run.stage.inputs["synthetic"].config["sampling"]["guidance"] == 0
    monkeypatch.setattr(report_images, "CONFLICTS", 1)
    assert [image.path for image in conflicts(graph, store).images] == ["train/2.png"]
