"""Which charts there are, with their numbers by hand; how they are drawn: `test_figure.py`."""

import itertools
import math
import re

import numpy as np
import pytest

from ddb.experiment import AmplifierRun
from ddb.report.charts import chart_figure, charts
from ddb.store import Stage

W, STEPS, COUNT = "sampling.guidance", "amplifier.steps", "sampling.images_per_class"


def accuracy(conflicting, aligned=1.0):
    return {"conflicting_accuracy": conflicting, "aligned_accuracy": aligned, "average_accuracy": 0.5}


def by_name(plan):
    return {chart.name: chart for chart in charts(plan, plan.store)}


def lines(chart):
    """label -> (x, mean in percent) of every line."""
    return {s.label: list(zip(s.x, (round(100 * m, 6) for m in s.mean), strict=True)) for s in chart.series}


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
        fake.add("ddb_two_step", seed, accuracy(reached + 0.2), guidance=0.0, settings={W: 0})
        fake.add("ddb_two_step", seed, None if seed else accuracy(0.8, 0.75), guidance=3.0, settings={W: 3})
        fake.add("ddb_two_step", seed, guidance=7.0, settings={W: 7})
        fake.add("ddb_end_to_end", seed, guidance=7.0, settings={W: 7})
    found = by_name(fake)
    assert list(found) == ["conflicting_accuracy_by_guidance", "aligned_accuracy_by_guidance"]
    assert lines(found["aligned_accuracy_by_guidance"])["ddb_two_step"] == [(0, 100), (3, 75)]
    chart = found["conflicting_accuracy_by_guidance"]
    erm, recipe = chart.series
    # 0.5 and 0.7: mean 0.6, deviations +-0.1, sqrt(0.02 / (2 - 1)); a method without guidance is a horizontal line
    assert (erm.label, erm.reference, erm.x, erm.n) == ("erm", True, [0.0, 7.0], [2, 2])
    assert erm.mean == pytest.approx([0.6, 0.6]) and erm.std == pytest.approx([math.sqrt(0.02)] * 2)
    assert (recipe.label, recipe.reference, recipe.x, recipe.n) == ("ddb_two_step", False, [0.0, 3.0], [2, 1])
    assert recipe.mean == pytest.approx([0.8, 0.8])
    assert recipe.std == [pytest.approx(math.sqrt(0.02)), None]
    assert (chart.title, chart.x_label) == ("Conflicting accuracy by guidance", "guidance w (scale 1 + w)")
    assert chart.y_label == "conflicting accuracy in percent" and not chart.log_x
    assert chart.note == (
        "Test set of colored_digits; selection criterion: last. Mean over seeds (n = 1 to 2); band: ± sample standard "
        "deviation (ddof 1), none for n = 1. Dashed: without a value on this axis. 2 of 5 numbers are missing. "
        "1 of 5 rest on fewer seeds than planned."
    )


def test_no_chart_if_only_methods_without_the_setting_have_numbers(fake):
    fake.vary(W)
    fake.add("erm", 0, accuracy(0.5), settings={W: None})
    for guidance in (0.0, 1.0):
        fake.add("ddb_two_step", 0, guidance=guidance, settings={W: guidance})
    assert charts(fake, fake.store) == []


@pytest.mark.parametrize("values", [["dpm_solver", "ancestral"], [True, False], [5], [[16, 32], [32, 64]]])
def test_no_chart_without_several_numbers(fake, values):
    fake.vary("sampling.sampler")
    for value in values:
        fake.add("ddb_two_step", 0, accuracy(0.5), settings={"sampling.sampler": value})
    assert charts(fake, fake.store) == []


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
    (axes,) = chart_figure(charts(fake, fake.store)[0]).axes
    places = axes.transData.transform([(value, 50) for value in values])[:, 0]
    assert axes.get_xscale() == scale and np.isfinite(places).all() and (np.diff(places) > 10).all()


def test_single_points_of_another_grid_have_a_label_and_no_chart(fake):
    """As in sampler.yaml: by steps there is a line of three points and two single ones; by images, one line of two.

    The images of 15 steps are sampled once, for 100 and for 20 per class, and are part of the line of the others.
    """
    sampler, steps = "sampling.sampler", "sampling.sampler_steps"
    fake.vary(sampler, steps, COUNT)
    dpm, ancestral = "dpm_solver", "ancestral"
    for values in ((dpm, 8, 100), (dpm, 15, 100), (dpm, 50, 100), (dpm, 15, 20), (ancestral, 1000, 20)):
        drawn = fake.draw(0, 1.0, 0.9, sampler=values[0], sampler_steps=values[1])
        settings = dict(zip((sampler, steps, COUNT), values, strict=True))
        for method in ("ddb_two_step", "ddb_end_to_end"):
            signalled(fake, method, 1.0, drawn, values[2], settings)
    found = by_name(fake)
    assert {name.rpartition("_by_")[2] for name in found} == {"sampler_steps"}
    chart = found["conflicting_accuracy_by_sampler_steps"]
    expected = {
        "dpm_solver, images per class 100": [(8, 50), (15, 50), (50, 50)],
        "dpm_solver, images per class 20": [(15, 50)],
        "ancestral, images per class 20": [(1000, 50)],
    }
    methods = ("ddb_two_step", "ddb_end_to_end")
    assert lines(chart) == {f"{method}, {variant}": expected[variant] for method in methods for variant in expected}
    assert {(line.family, line.variant) for line in chart.series} == set(itertools.product(methods, expected))
    images = lines(found["synthetic_by_sampler_steps"])
    assert images["follow the bias, dpm_solver, images per class 100"] == [(8, 90), (15, 90), (50, 90)]
    assert images["follow the bias, ancestral, images per class 20"] == [(1000, 90)] and len(images) == 4


def test_a_value_of_null_is_a_horizontal_line_and_named_in_labels(fake):
    images, decay = "amplifier.images_per_class", "cdpm.ema_decay"
    fake.vary(images, decay)
    for number, reached in (("none", 0.9), (5, 0.5), (10, 0.6)):
        for value in ("none", "warm"):
            fake.add("ddb_two_step", 0, accuracy(reached), settings={images: number, decay: value})
    chart = by_name(fake)["conflicting_accuracy_by_amplifier_images_per_class"]
    assert lines(chart) == {
        "ddb_two_step, cdpm ema decay none, amplifier images per class none": [(5, 90), (10, 90)],
        "ddb_two_step, warm, amplifier images per class none": [(5, 90), (10, 90)],
        "ddb_two_step, cdpm ema decay none": [(5, 50), (10, 60)],
        "ddb_two_step, warm": [(5, 50), (10, 60)],
    }
    assert [series.reference for series in chart.series] == [True, True, False, False]


def test_a_grid_of_two_numbers_has_a_chart_for_each_method_and_a_line_for_each_value(fake):
    fake.vary(W, COUNT)
    fake.add("erm", 0, accuracy(0.25), settings={W: None, COUNT: None})
    for method, start in (("ddb_two_step", 0.5), ("ddb_end_to_end", 0.6)):
        for guidance in (0.0, 1.0, 3.0):
            for count, less in ((100, 0), (25, 0.04)):
                reached = accuracy(start + 0.1 * guidance - less)
                fake.add(method, 0, reached, guidance=guidance, settings={W: guidance, COUNT: count})
    found = by_name(fake)
    assert [name for name in found if name.startswith("conflicting")] == [
        "conflicting_accuracy_by_guidance_ddb_two_step",
        "conflicting_accuracy_by_guidance_ddb_end_to_end",
        "conflicting_accuracy_by_images_per_class_ddb_two_step",
        "conflicting_accuracy_by_images_per_class_ddb_end_to_end",
    ]
    chart = found["conflicting_accuracy_by_guidance_ddb_two_step"]
    assert (chart.title, chart.level_label) == ("Conflicting accuracy by guidance: ddb_two_step", "images per class")
    levels = [(series.label, series.level, series.reference) for series in chart.series]
    assert levels == [("25", 25, False), ("100", 100, False), ("erm", None, True)]
    assert lines(chart) == {
        "25": [(0, 46), (1, 56), (3, 76)],
        "100": [(0, 50), (1, 60), (3, 80)],
        "erm": [(0, 25), (3, 25)],
    }
    other = found["conflicting_accuracy_by_images_per_class_ddb_end_to_end"]
    assert lines(other)["3"] == [(25, 86), (100, 90)] and lines(other)["erm"] == [(25, 25), (100, 25)]


def test_methods_that_share_images_and_amplifier_have_one_line(fake):
    fake.vary(W)
    for guidance, share in ((0.0, 0.9), (1.0, 0.95)):
        drawn = fake.draw(0, guidance, share, right_class_share=0.875)
        for method in ("ddb_two_step", "ddb_end_to_end"):
            signalled(fake, method, guidance, drawn, settings={W: guidance}, precision=0.5 if guidance else None)
    found = by_name(fake)
    assert lines(found["synthetic_by_guidance"]) == {
        "follow the bias": [(0, 90), (1, 95)],
        "show the right class": [(0, 87.5), (1, 87.5)],
    }
    chart = found["amplifier_by_guidance"]
    assert lines(chart) == {"precision": [(1, 50)], "recall": [(0, 50), (1, 50)], "AUROC": [(0, 75), (1, 75)]}
    assert "1 of 6 numbers are missing" in chart.note and "One seed, so no standard deviation" in chart.note


def test_amplifiers_of_different_methods_are_named_by_the_method(fake):
    """The steps do not change the synthetic images, so there is no chart of them."""
    fake.vary(STEPS)
    for method, guidance in (("ddb_two_step", 1.0), ("ddb_end_to_end", 3.0)):
        drawn = fake.draw(0, guidance, 0.9)
        for steps in (20, 300):
            signalled(fake, method, guidance, drawn, steps, {STEPS: steps}, recall=guidance / 4)
    found = by_name(fake)
    assert "synthetic_by_amplifier_steps" not in found
    assert lines(found["amplifier_by_amplifier_steps"]) == {
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
    found = by_name(fake)
    conflicting = "conflicting_accuracy_by_amplifier_steps_colored_digits"
    assert {name: chart.title for name, chart in found.items()} == {
        "average_accuracy_by_amplifier_steps_bar": "bar: Average accuracy by amplifier steps",
        conflicting: "colored_digits: Conflicting accuracy by amplifier steps",
        "aligned_accuracy_by_amplifier_steps_colored_digits": "colored_digits: Aligned accuracy by amplifier steps",
    }
    assert lines(found[conflicting]) == {"erm": [(20, 75), (300, 75)]}


def test_settings_of_one_title_have_their_full_names(fake):
    first, second = "methods.a.gamma", "methods.b.gamma"
    fake.vary(first, second)
    for gamma in (0, 1):
        fake.add("a", 0, accuracy(0.5), settings={first: gamma, second: None})
        fake.add("b", 0, accuracy(0.5), settings={first: None, second: gamma})
    assert [(c.name, c.x_label) for c in charts(fake, fake.store)][::2] == [
        ("conflicting_accuracy_by_methods.a.gamma", first),
        ("conflicting_accuracy_by_methods.b.gamma", second),
    ]


def test_names_are_file_names_and_unique(fake):
    fake.vary(W, COUNT)
    for method in ("a/b", "a b"):
        for guidance in (0.0, 1.0):
            for count in (5, 6):
                fake.add(method, 0, accuracy(0.5), guidance=guidance, settings={W: guidance, COUNT: count})
    names = [chart.name for chart in charts(fake, fake.store)]
    assert len(set(names)) == len(names) == 8 and all(re.fullmatch(r"[\w.-]+", name, re.ASCII) for name in names)
    assert names[:2] == [f"conflicting_accuracy_by_guidance_a_b{suffix}" for suffix in ("", "-2")]


def test_the_memorisation_curve_by_hand(fake):
    """8 conflicting images; two seeds with 8 and 6 left, then 6 and 2: means 7/8 and 1/2.

    Shown are the finished amplifiers of the data set with the most steps, and of several the first in the plan.
    """
    fake.add("erm", 0)
    other = Stage("data", {"seed": 9}, 1)
    stage = Stage("amplifier", {"amplifier": {"source": "synthetic", "steps": 900}, "seed": 0}, 1, {"data": other})
    fake.amplifiers[stage.key] = AmplifierRun("synthetic", 0, stage)
    fake.finish(stage, curve=fake.curve([1], 8))  # of another data set
    fake.amplify(0, fake.draw(0, 5.0), steps=600)  # not finished
    fake.amplify(0, fake.draw(0, 0.0), steps=20, curve=fake.curve([2], 8))
    for seed, left in ((0, [8, 6]), (1, [6, 2])):
        fake.amplify(seed, fake.draw(seed, 0.5), steps=40, curve=fake.curve(left, 8))
    fake.amplify(0, fake.draw(0, 3.0), steps=40, curve=fake.curve([3], 8))
    fake.amplify(0, steps=60, curve=fake.curve([4, 0, 0], 8))
    (chart,) = charts(fake, fake.store)
    assert (chart.name, chart.whole, chart.log_x) == ("memorisation", True, False)
    assert lines(chart) == {
        "trained on synthetic images": [(1, 87.5), (2, 50)],
        "trained on real images": [(1, 50), (2, 0), (3, 0)],
    }
    # 8/8 and 6/8: deviations +-1/8, sqrt(2/64); 6/8 and 2/8: +-1/4, sqrt(2/16)
    assert chart.series[0].std == pytest.approx([math.sqrt(2) / 8, math.sqrt(2) / 4])
    assert (chart.series[0].n, chart.series[1].std) == ([2, 2], [None] * 3)
    assert "8 conflicting training images" in chart.note
    assert "synthetic: 40 steps, guidance 0.5; real: 60 steps" in chart.note


@pytest.mark.parametrize("total", [None, 0])
def test_without_conflicting_images_there_is_no_memorisation_curve(fake, total):
    fake.add("erm", 0)
    point = {"step": 1, "epoch": 1.0, "errors": 3, "conflicting_errors": total, "conflicting_total": total}
    fake.amplify(0, curve=[point])
    assert charts(fake, fake.store) == []
