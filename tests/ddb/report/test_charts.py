"""Which charts there are, with their numbers by hand; how they are drawn: `test_draw.py`."""

import itertools
import math
import re

import numpy as np
import pytest
import yaml

from ddb.data import prepared
from ddb.experiment.config_file import resolve
from ddb.experiment.graph import build_graph
from ddb.experiment.results import Results
from ddb.report.charts import charts
from ddb.report.draw import chart_figure
from ddb.store import Store
from tests.ddb.report import hand_made
from tests.ddb.report.conftest import DATA

W, STEPS, COUNT = "sampling.guidance", "amplifier.steps", "sampling.images_per_class"


def accuracy(conflicting, aligned=1.0):
    return {"conflicting_accuracy": conflicting, "aligned_accuracy": aligned, "average_accuracy": 0.5}


def by_name(fake):
    return {chart.name: chart for chart in charts(Results(fake, fake.store))}


def curves(fake):
    """The charts of what varies."""
    return {name: chart for name, chart in by_name(fake).items() if "_by_" in name}


def lines(chart, panel=""):
    """label -> (x, mean in percent) of every line of a panel; a reference line has one x, 0."""
    return {
        line.label: [(x, round(mean, 6)) for x, mean in zip(line.points["x"], line.points["mean"], strict=True)]
        for line in chart.panels[panel]
    }


def signalled(fake, method, guidance, drawn, steps=300, settings=None, **quality):
    """A finished cell with its amplifier."""
    values = {"precision": None, "recall": 0.5, "auroc": 0.75} | quality
    amplifier = fake.amplify(0, drawn, steps, quality=values, curve=fake.curve([1], None))
    fake.add(method, 0, accuracy(0.5), guidance=guidance, settings=settings, amplifier=amplifier)


def test_accuracy_by_guidance_by_hand(fake):
    """Two seeds each; Recipe I lacks one at w = 3 and both at w = 7; another method has no number yet."""
    fake.vary(W)
    for seed, reached in enumerate((0.5, 0.7)):
        fake.add("erm", seed, accuracy(reached), settings={W: None})
        fake.add("group_dro", seed, accuracy(1.0), settings={W: None})
        fake.add("ddb_two_step", seed, accuracy(reached + 0.2), guidance=0.0, settings={W: 0})
        fake.add("ddb_two_step", seed, None if seed else accuracy(0.8, 0.75), guidance=3.0, settings={W: 3})
        fake.add("ddb_two_step", seed, guidance=7.0, settings={W: 7})
        fake.add("ddb_end_to_end", seed, guidance=7.0, settings={W: 7})
    found = curves(fake)
    assert list(found) == ["conflicting_accuracy_by_guidance", "aligned_accuracy_by_guidance"]
    assert lines(found["aligned_accuracy_by_guidance"])["ddb_two_step"] == [(0, 100), (3, 75)]
    chart = found["conflicting_accuracy_by_guidance"]
    erm, oracle, recipe = chart.panels[""]
    assert (oracle.label, oracle.method) == ("group_dro (oracle)", "group_dro")
    assert "group_dro (oracle)" in by_name(fake)["accuracy"].rows
    # 50 and 70: mean 60, deviations +-10, sqrt(200 / (2 - 1)); a method without guidance is a horizontal line
    assert (erm.label, erm.method, erm.reference) == ("erm", "erm", True)
    assert erm.points[["mean", "std", "n"]].iloc[0].tolist() == pytest.approx([60, math.sqrt(200), 2])
    assert (recipe.label, recipe.method, recipe.reference) == ("ddb_two_step", "ddb_two_step", False)
    assert recipe.points["mean"].tolist() == pytest.approx([80, 80]) and recipe.points["n"].tolist() == [2, 1]
    assert recipe.points["std"].tolist() == pytest.approx([math.sqrt(200), np.nan], nan_ok=True)
    assert (chart.title, chart.x_label) == ("Conflicting accuracy by guidance", "guidance w (scale 1 + w)")
    assert chart.y_label == "conflicting accuracy in percent" and not chart.log_x
    assert chart.note == (
        "Test set of colored_digits; selection criterion: last. Mean over seeds (n = 1 to 2); whiskers: ± sample "
        "standard deviation (ddof 1). Dashed: without a value on this axis. Missing numbers: 2. Numbers of fewer seeds "
        "than planned: 1."
    )


def test_no_curve_if_only_methods_without_the_setting_have_numbers(fake):
    fake.vary(W)
    fake.add("erm", 0, accuracy(0.5), settings={W: None})
    for guidance in (0.0, 1.0):
        fake.add("ddb_two_step", 0, guidance=guidance, settings={W: guidance})
    assert curves(fake) == {}


@pytest.mark.parametrize("values", [["dpm_solver", "ancestral"], [True, False], [5], [[16, 32], [32, 64]]])
def test_no_curve_without_several_numbers(fake, values):
    fake.vary("sampling.sampler")
    for value in values:
        fake.add("ddb_two_step", 0, accuracy(0.5), settings={"sampling.sampler": value})
    assert list(by_name(fake)) == ["accuracy"]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ((20, 300, 401), "log"),
        ((20, 300, 400), "linear"),
        ((0, 0.5, 15), "symlog"),  # zero has a place on it
        ((-1, 1, 30), "linear"),
    ],
)
def test_more_than_a_factor_of_twenty_has_a_logarithmic_axis(fake, values, scale):
    fake.vary(STEPS)
    for value in values:
        fake.add("erm", 0, accuracy(0.5), settings={STEPS: value})
    (axes,) = chart_figure(next(iter(curves(fake).values()))).axes
    places = axes.transData.transform([(value, 50) for value in values])[:, 0]
    assert axes.get_xscale() == scale and np.isfinite(places).all() and (np.diff(places) > 10).all()


def test_single_points_of_another_grid_have_a_label_and_no_chart(fake):
    """As in sampler.yaml: by steps there is a line of three points and two single ones; by images, one line of two."""
    sampler, steps = "sampling.sampler", "sampling.sampler_steps"
    fake.vary(sampler, steps, COUNT)
    dpm, ancestral = "dpm_solver", "ancestral"
    for values in ((dpm, 8, 100), (dpm, 15, 100), (dpm, 50, 100), (ancestral, 1000, 20)):
        drawn = fake.draw(0, 1.0, 0.9, sampler=values[0], sampler_steps=values[1])
        settings = dict(zip((sampler, steps, COUNT), values, strict=True))
        for method in ("ddb_two_step", "ddb_end_to_end"):
            signalled(fake, method, 1.0, drawn, values[2], settings)
    found = curves(fake)
    assert {name.rpartition("_by_")[2] for name in found} == {"sampler_steps"}
    expected = {
        "dpm_solver, images per class 100": [(8, 50), (15, 50), (50, 50)],
        "ancestral, images per class 20": [(1000, 50)],
    }
    drawn = lines(found["conflicting_accuracy_by_sampler_steps"])
    methods = ("ddb_two_step", "ddb_end_to_end")
    assert drawn == {f"{method}, {variant}": expected[variant] for method in methods for variant in expected}
    images = lines(found["synthetic_by_sampler_steps"])
    assert images["synthetic: aligned, dpm_solver, images per class 100"] == [(8, 90), (15, 90), (50, 90)]
    assert images["synthetic: aligned, ancestral, images per class 20"] == [(1000, 90)] and len(images) == 4


def test_a_value_of_null_is_a_horizontal_line_and_named_in_labels(fake):
    images, decay = "amplifier.images_per_class", "cdpm.ema_decay"
    fake.vary(images, decay)
    for number, reached in (("none", 0.9), (5, 0.5), (10, 0.6)):
        for value in ("none", "warm"):
            fake.add("ddb_two_step", 0, accuracy(reached), settings={images: number, decay: value})
    chart = curves(fake)["conflicting_accuracy_by_amplifier_images_per_class"]
    assert lines(chart) == {
        "ddb_two_step, cdpm ema decay none, amplifier images per class none": [(0, 90)],
        "ddb_two_step, warm, amplifier images per class none": [(0, 90)],
        "ddb_two_step, cdpm ema decay none": [(5, 50), (10, 60)],
        "ddb_two_step, warm": [(5, 50), (10, 60)],
    }
    assert [line.reference for line in chart.panels[""]] == [True, True, False, False]


def test_a_grid_of_two_numbers_has_a_panel_for_each_value_of_the_one_with_fewer(fake):
    fake.vary(W, COUNT)
    fake.add("erm", 0, accuracy(0.25), settings={W: None, COUNT: None})
    for method, start in (("ddb_two_step", 0.5), ("ddb_end_to_end", 0.6)):
        for guidance in (0.0, 1.0, 3.0):
            for count, less in ((100, 0), (25, 0.04)):
                reached = accuracy(start + 0.1 * guidance - less)
                fake.add(method, 0, reached, guidance=guidance, settings={W: guidance, COUNT: count})
    found = curves(fake)
    assert list(found) == ["conflicting_accuracy_by_guidance", "aligned_accuracy_by_guidance"]
    chart = found["conflicting_accuracy_by_guidance"]
    assert list(chart.panels) == ["images per class 25", "images per class 100"]
    assert lines(chart, "images per class 25") == {
        "erm": [(0, 25)],
        "ddb_two_step": [(0, 46), (1, 56), (3, 76)],
        "ddb_end_to_end": [(0, 56), (1, 66), (3, 86)],
    }
    assert lines(chart, "images per class 100")["ddb_two_step"] == [(0, 50), (1, 60), (3, 80)]


def test_methods_that_share_images_and_amplifier_have_one_line(fake):
    fake.vary(W)
    for guidance, share in ((0.0, 0.9), (1.0, 0.95)):
        drawn = fake.draw(0, guidance, share, right_class_share=0.875)
        for method in ("ddb_two_step", "ddb_end_to_end"):
            signalled(fake, method, guidance, drawn, settings={W: guidance}, precision=0.5 if guidance else None)
    found = curves(fake)
    assert lines(found["synthetic_by_guidance"]) == {
        "synthetic: aligned": [(0, 90), (1, 95)],
        "right class": [(0, 87.5), (1, 87.5)],
    }
    chart = found["signals_by_guidance"]
    expected = {"error set: precision": [(1, 50)], "recall": [(0, 50), (1, 50)], "AUROC": [(0, 75), (1, 75)]}
    assert lines(chart) == expected
    assert "Missing numbers: 1" in chart.note and "One seed, so no standard deviation" in chart.note


def test_amplifiers_of_different_methods_are_named_by_the_method(fake):
    fake.vary(STEPS)
    for method, guidance in (("ddb_two_step", 1.0), ("ddb_end_to_end", 3.0)):
        drawn = fake.draw(0, guidance, 0.9)
        for steps in (20, 300):
            signalled(fake, method, guidance, drawn, steps, {STEPS: steps}, recall=guidance / 4)
    found = curves(fake)
    assert "synthetic_by_amplifier_steps" not in found  # the steps do not change the images
    assert lines(found["signals_by_amplifier_steps"]) == {
        "recall, ddb_two_step": [(20, 25), (300, 25)],
        "recall, ddb_end_to_end": [(20, 75), (300, 75)],
        "AUROC, ddb_two_step": [(20, 75), (300, 75)],
        "AUROC, ddb_end_to_end": [(20, 75), (300, 75)],
    }


def test_each_data_set_has_its_charts_with_its_metric(fake):
    fake.vary("base", STEPS)
    for dataset, reached in (("bar", 0.5), ("colored_digits", 0.75)):
        for steps in (20, 300):
            fake.add("erm", 0, accuracy(reached), dataset=dataset, settings={STEPS: steps})
    found = curves(fake)
    conflicting = "conflicting_accuracy_by_amplifier_steps_colored_digits"
    assert {name: chart.title for name, chart in found.items()} == {
        "average_accuracy_by_amplifier_steps_bar": "bar: Average accuracy by amplifier steps",
        conflicting: "colored_digits: Conflicting accuracy by amplifier steps",
        "aligned_accuracy_by_amplifier_steps_colored_digits": "colored_digits: Aligned accuracy by amplifier steps",
    }
    assert lines(found[conflicting]) == {"erm": [(20, 75), (300, 75)]}
    assert {"accuracy_bar", "accuracy_colored_digits"} <= by_name(fake).keys()


def test_settings_of_one_title_have_their_full_names(fake):
    first, second = "methods.a.gamma", "methods.b.gamma"
    fake.vary(first, second)
    for gamma in (0, 1):
        fake.add("a", 0, accuracy(0.5), settings={first: gamma, second: None})
        fake.add("b", 0, accuracy(0.5), settings={first: None, second: gamma})
    assert [(name, chart.x_label) for name, chart in curves(fake).items()][::2] == [
        ("conflicting_accuracy_by_methods.a.gamma", first),
        ("conflicting_accuracy_by_methods.b.gamma", second),
    ]


def test_names_are_file_names_and_unique(fake):
    settings = ["a/b", "a b"]
    fake.vary(*settings)
    for values in itertools.product((0, 1), (5, 6, 7)):
        fake.add("erm", 0, accuracy(0.5), settings=dict(zip(settings, values, strict=True)))
        fake.add("lff", 0, accuracy(0.5), settings={"a/b": values[1], "a b": None})
        fake.add("jtt", 0, accuracy(0.5), settings={"a/b": None, "a b": values[1]})
    names = list(by_name(fake))
    assert len(set(names)) == len(names) and all(re.fullmatch(r"[\w.-]+", name, re.ASCII) for name in names)


def test_a_row_of_accuracies_by_hand(fake):
    """The test images of the hand-made data set have two classes of three images: the most frequent has half."""
    with fake.store.produce(DATA) as work:
        prepared.write(hand_made.dataset(), work.result)
    for seed, reached in enumerate((0.5, 0.7)):
        fake.add("erm", seed, accuracy(reached))
        fake.add("ddb_two_step", seed, None if seed else accuracy(0.75))
    fake.store.fail(fake.add("lff", 0), "out of memory")
    (chart,) = by_name(fake).values()
    assert chart.rows == ("erm", "ddb_two_step", "lff")
    assert lines(chart) == {
        "conflicting": [(0, 60), (1, 75)],
        "aligned": [(0, 100), (1, 100)],
        "always the most frequent class": [(0, 50), (1, 50), (2, 50)],
    }
    assert chart.panels[""][0].points["std"].iloc[0] == pytest.approx(math.sqrt(200))
    assert chart.note.endswith("1 of 5 cells are failed. 1 of 5 cells are missing.")


def test_without_bias_labels_the_row_has_the_average(fake):
    fake.add("erm", 0, {"average_accuracy": 0.5186})
    (chart,) = by_name(fake).values()
    assert lines(chart) == {"average": [(0, 51.86)]}


def test_rows_are_in_the_tables_order_with_what_tells_them_apart(fake):
    fake.vary(STEPS)
    for steps in (20, 300):
        fake.add("ddb_two_step", 0, accuracy(0.5), guidance=1.0, settings={STEPS: steps})
        fake.add("erm", 0, accuracy(0.5), settings={STEPS: None})
    assert by_name(fake)["accuracy"].rows == (
        "ddb_two_step, amplifier steps 20",
        "ddb_two_step, amplifier steps 300",
        "erm",
    )


def test_the_memorisation_curve_by_hand(fake):
    """8 conflicting images; two seeds with 8 and 6 left, then 6 and 2: means 7/8 and 1/2.

    Shown are the amplifiers that were trained the longest, a line for each guidance.
    """
    fake.vary(W)
    fake.amplify(0, fake.draw(0, 5.0), steps=60)  # not finished
    fake.amplify(0, fake.draw(0, 0.0), steps=20, curve=fake.curve([2, 2], 8))  # not the longest
    for seed, left in ((0, [8, 6]), (1, [6, 2])):
        amplifier = fake.amplify(seed, fake.draw(seed, 0.5), steps=60, curve=fake.curve(left, 8))
        fake.add("ddb_two_step", seed, guidance=0.5, settings={W: 0.5}, amplifier=amplifier)
    strong = fake.amplify(0, fake.draw(0, 3.0), steps=60, curve=fake.curve([4, 4], 8))
    fake.add("ddb_two_step", 0, guidance=3.0, settings={W: 3.0}, amplifier=strong)
    fake.amplify(0, steps=60, curve=fake.curve([4, 0], 8))  # on real images, for the curve alone
    chart = by_name(fake)["memorisation"]
    assert lines(chart) == {
        "synthetic images, w = 0.5": [(20, 87.5), (40, 50)],
        "synthetic images, w = 3": [(20, 50), (40, 50)],
        "real images": [(20, 50), (40, 0)],
    }
    # 100 and 75 percent: deviations +-12.5; 75 and 25: +-25
    assert chart.panels[""][0].points["std"].tolist() == pytest.approx([math.sqrt(2) * 12.5, math.sqrt(2) * 25])
    assert "8 conflicting training images" in chart.note


@pytest.mark.parametrize(("left", "total"), [([None, None], None), ([0, 0], 0), ([3], 8)])
def test_without_conflicting_images_or_several_steps_there_is_no_memorisation_curve(fake, left, total):
    fake.add("erm", 0)
    fake.amplify(0, curve=fake.curve(left, total))
    assert by_name(fake) == {}


def made(tmp_path, **values):
    """The charts of a graph of `hand_made` whose results are written by hand."""
    graph, store = hand_made.make_plan(**values), Store(tmp_path / "runs")
    hand_made.complete(graph, store)
    return {chart.name: chart for chart in charts(Results(graph, store))}


def labels(chart):
    return [line.label for lines in chart.panels.values() for line in lines]


def test_a_null_beside_numbers_has_the_last_panel(tmp_path):
    found = made(tmp_path, vary={W: [0, 1, 3], "amplifier.images_per_class": [None, 1, 2]})
    panels = [f"amplifier images per class {value}" for value in (1, 2, "none")]
    assert list(found["conflicting_accuracy_by_guidance"].panels) == panels


def test_two_bases_of_one_data_set_are_not_mixed(tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(hand_made.VALUES))
    (tmp_path / "b.yaml").write_text(yaml.safe_dump(hand_made.VALUES | {"training": {"steps": 9}}))
    experiment = resolve({"vary": {"base": [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]}})
    graph, store = build_graph(experiment), Store(tmp_path / "runs")
    hand_made.complete(graph, store)
    chart = {chart.name: chart for chart in charts(Results(graph, store))}["accuracy"]
    assert len(chart.rows) == 4 and chart.panels[""][0].points["n"].tolist() == [2] * 4


def test_amplifiers_that_differ_never_share_a_line_of_memorisation(tmp_path):
    """Those on real images are used by no row; a setting of the classifiers is no amplifier's."""
    rates = {"amplifier.learning_rate": [0.1, 0.01]}
    found = made(tmp_path / "a", vary=rates, memorisation=True)["memorisation"]
    expected = {f"{kind}, amplifier learning rate {rate}" for rate in (0.1, 0.01)
                for kind in ("real images", "synthetic images, w = 1")}  # fmt: skip
    assert set(labels(found)) == expected
    assert {int(n) for line in found.panels[""] for n in line.points["n"]} == {2}  # seeds
    shared = made(tmp_path / "b", vary={"training.steps": [16, 32]})["memorisation"]
    assert labels(shared) == ["synthetic images, w = 1"]


def test_synthetic_images_are_drawn_once_however_many_amplifiers_see_them(tmp_path):
    found = made(tmp_path / "a", vary={"amplifier.batch_size": [16, 32], W: [0, 1]})["synthetic_by_guidance"]
    assert list(found.panels) == [""] and labels(found) == ["synthetic: aligned", "right class"]
    methods = {"ddb_two_step": {}, "ddb_end_to_end": {"amplifier": {"steps": 7}}}
    found = made(tmp_path / "b", vary={W: [0, 1]}, methods=methods)
    assert labels(found["synthetic_by_guidance"]) == ["synthetic: aligned", "right class"]
    assert "recall, ddb_end_to_end" in labels(found["signals_by_guidance"])


def test_with_one_seed_no_chart_speaks_of_a_deviation(tmp_path):
    assert "One seed" in made(tmp_path, seeds=[0])["accuracy"].note
