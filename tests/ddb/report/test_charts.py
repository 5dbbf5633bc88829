"""Which curves there are, and their numbers by hand; the memorisation curve: `test_charts_memorisation.py`."""

import math
import re

import pytest

from ddb.report.charts import charts
from ddb.report.table import rows

W, STEPS, COUNT, SOURCE = "sampling.guidance", "amplifier.steps", "sampling.images_per_class", "amplifier.source"


def accuracy(conflicting, aligned=1.0):
    return {"conflicting_accuracy": conflicting, "aligned_accuracy": aligned, "average_accuracy": 0.5}


def by_name(plan):
    return {chart.name: chart for chart in charts(plan, plan.store)}


def lines(chart):
    """label -> (x, mean in percent) of every line."""
    return {s.label: list(zip(s.x, (round(100 * m, 6) for m in s.mean), strict=True)) for s in chart.series}


@pytest.fixture
def guided(fake):
    """ERM, and Recipe I at two guidances with two seeds, of which one is missing at w = 3."""
    fake.vary(W)
    for seed, reached in enumerate((0.5, 0.7)):
        fake.add("erm", seed, accuracy(reached), settings={W: None})
    for seed, reached in enumerate((0.7, 0.9)):
        fake.add("ddb_two_step", seed, accuracy(reached), guidance=0.0, settings={W: 0})
    fake.add("ddb_two_step", 0, accuracy(0.8, 0.75), guidance=3.0, settings={W: 3})
    fake.add("ddb_two_step", 1, guidance=3.0, settings={W: 3})
    return fake


def test_accuracy_by_guidance_by_hand(guided):
    chart = by_name(guided)["conflicting_accuracy_by_guidance"]
    erm, recipe = chart.series
    # 0.5 and 0.7: mean 0.6, deviations +-0.1, sqrt(0.02 / (2 - 1)); a method without guidance lies across
    assert (erm.label, erm.reference, erm.x, erm.n) == ("erm", True, [0.0, 3.0], [2, 2])
    assert erm.mean == pytest.approx([0.6, 0.6]) and erm.std == pytest.approx([math.sqrt(0.02)] * 2)
    assert (recipe.label, recipe.reference, recipe.x, recipe.n) == ("ddb_two_step", False, [0.0, 3.0], [2, 1])
    assert recipe.mean == pytest.approx([0.8, 0.8])
    assert recipe.std == [pytest.approx(math.sqrt(0.02)), None]
    assert (chart.title, chart.x_label) == ("Conflicting accuracy by guidance", "guidance w (scale 1 + w)")
    assert chart.y_label == "conflicting accuracy in percent" and not chart.log_x
    assert chart.note == (
        "Test set of colored_digits; selection criterion: last. Mean over seeds (n = 1 to 2); band: ± sample standard "
        "deviation (ddof 1), none for n = 1. Dashed: without a value on this axis. "
        "1 of 3 rest on fewer seeds than planned."
    )


def test_aligned_accuracy_is_a_chart_beside_conflicting_accuracy(guided):
    found = by_name(guided)
    assert list(found) == ["conflicting_accuracy_by_guidance", "aligned_accuracy_by_guidance"]
    assert lines(found["aligned_accuracy_by_guidance"])["ddb_two_step"] == [(0, 100), (3, 75)]


def test_a_benchmark_with_another_metric_has_that_alone(fake):
    fake.vary(STEPS)
    for steps in (20, 300):
        fake.add("ddb_two_step", 0, accuracy(0.6), dataset="bar", settings={STEPS: steps})
    assert list(by_name(fake)) == ["average_accuracy_by_amplifier_steps"]


def test_rows_that_are_known_are_not_read_again(guided):
    known = rows(guided, guided.store)[1:]
    assert [series.label for series in charts(guided, guided.store, known)[0].series] == ["ddb_two_step"]


def test_while_a_run_is_under_way_what_is_missing_is_counted(guided):
    guided.add("ddb_two_step", 0, guidance=7.0, settings={W: 7})
    guided.add("ddb_end_to_end", 0, guidance=7.0, settings={W: 7})
    chart = by_name(guided)["conflicting_accuracy_by_guidance"]
    assert [series.label for series in chart.series] == ["erm", "ddb_two_step"]
    assert chart.series[0].x == [0.0, 7.0] and chart.series[1].x == [0.0, 3.0]
    assert "2 of 5 numbers are missing. 1 of 5 rest on fewer" in chart.note


def test_without_a_number_of_the_setting_itself_there_is_no_chart(fake):
    fake.vary(W)
    fake.add("erm", 0, accuracy(0.5), settings={W: None})
    for guidance in (0.0, 1.0):
        fake.add("ddb_two_step", 0, guidance=guidance, settings={W: guidance})
    assert charts(fake, fake.store) == []


@pytest.mark.parametrize("values", [["dpm_solver", "ancestral"], [True, False], [5], [[16, 32], [32, 64]]])
def test_what_is_not_several_numbers_has_no_chart(fake, values):
    fake.vary("sampling.sampler")
    for value in values:
        fake.add("ddb_two_step", 0, accuracy(0.5), settings={"sampling.sampler": value})
    assert charts(fake, fake.store) == []


@pytest.mark.parametrize(
    ("values", "log"),
    [((20, 300, 401), True), ((20, 300, 400), False), ((0, 0.5, 15), True), ((0, 1, 20), False), ((-1, 1, 30), False)],
)
def test_more_than_a_factor_of_twenty_is_drawn_on_a_logarithmic_axis(fake, values, log):
    fake.vary(STEPS)
    for value in values:
        fake.add("erm", 0, accuracy(0.5), settings={STEPS: value})
    assert charts(fake, fake.store)[0].log_x == log


def test_a_second_setting_that_is_no_number_makes_lines(fake):
    fake.vary(SOURCE, STEPS)
    pairs = [(method, source) for method in ("ddb_two_step", "ddb_end_to_end") for source in ("synthetic", "real")]
    for method, source in pairs:
        for steps, reached in ((20, 0.5), (300, 0.75)):
            fake.add(method, 0, accuracy(reached), settings={SOURCE: source, STEPS: steps})
    chart = by_name(fake)["conflicting_accuracy_by_amplifier_steps"]
    assert lines(chart) == {f"{method}, {source}": [(20, 50), (300, 75)] for method, source in pairs}
    assert [(series.family, series.variant) for series in chart.series] == pairs


def test_lone_points_of_another_grid_are_told_apart_and_make_no_chart_of_their_own(fake):
    """As in sampler.yaml: by steps there is a line of three points and two beside it; by images, one line of two.

    The images of 15 steps are drawn once, for 100 and for 20 per class, and stand in the line of the others.
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
    expected = {
        "dpm_solver, images per class 100": [(8, 50), (15, 50), (50, 50)],
        "dpm_solver, images per class 20": [(15, 50)],
        "ancestral, images per class 20": [(1000, 50)],
    }
    methods = lines(found["conflicting_accuracy_by_sampler_steps"])
    assert methods == {f"{m}, {x}": expected[x] for m in ("ddb_two_step", "ddb_end_to_end") for x in expected}
    images = lines(found["synthetic_by_sampler_steps"])
    assert images["follow the bias, dpm_solver, images per class 100"] == [(8, 90), (15, 90), (50, 90)]
    assert images["follow the bias, ancestral, images per class 20"] == [(1000, 90)] and len(images) == 4


def test_two_grids_that_cross_at_one_point_are_two_charts_of_their_lines(fake):
    """Guidance at 20 images, and images at guidance 1."""
    fake.vary(W, COUNT)
    for guidance, count, reached in ((0.0, 20, 0.5), (1.0, 20, 0.6), (3.0, 20, 0.7), (1.0, 50, 0.8), (1.0, 90, 0.9)):
        settings = {W: guidance, COUNT: count}
        fake.add("ddb_two_step", 0, accuracy(reached), guidance=guidance, settings=settings)
    found = by_name(fake)
    by_guidance, by_count = (lines(found[f"conflicting_accuracy_by_{x}"]) for x in ("guidance", "images_per_class"))
    assert by_guidance["ddb_two_step, images per class 20"] == [(0, 50), (1, 60), (3, 70)]
    assert by_count["ddb_two_step, guidance 1"] == [(20, 60), (50, 80), (90, 90)]
    assert by_count["ddb_two_step, guidance 3"] == [(20, 70)]


def test_a_value_of_null_lies_across_under_its_name(fake):
    fake.vary("amplifier.images_per_class")
    for value, reached in (("none", 0.9), (5, 0.5), (10, 0.6)):
        fake.add("ddb_two_step", 0, accuracy(reached), settings={"amplifier.images_per_class": value})
    chart = by_name(fake)["conflicting_accuracy_by_amplifier_images_per_class"]
    assert lines(chart) == {
        "ddb_two_step, amplifier images per class none": [(5, 90), (10, 90)],
        "ddb_two_step": [(5, 50), (10, 60)],
    }
    assert [series.reference for series in chart.series] == [True, False]


def test_a_line_of_null_is_told_by_the_settings_name(fake):
    fake.vary(STEPS, "cdpm.ema_decay")
    for decay, steps in (("none", 20), ("none", 30), (0.5, 20), (0.5, 30)):
        fake.add("ddb_two_step", 0, accuracy(0.5), settings={STEPS: steps, "cdpm.ema_decay": decay})
    labels = [f"ddb_two_step, cdpm ema decay {value}" for value in ("none", 0.5)]
    assert list(lines(by_name(fake)["conflicting_accuracy_by_amplifier_steps"])) == labels


@pytest.fixture
def grid(fake):
    """Two methods by guidance and number of images, ERM by neither."""
    fake.vary(W, COUNT)
    fake.add("erm", 0, accuracy(0.25), settings={W: None, COUNT: None})
    for method, start in (("ddb_two_step", 0.5), ("ddb_end_to_end", 0.6)):
        for guidance in (0.0, 1.0, 3.0):
            for count in (100, 25):
                reached = start + 0.1 * guidance - (0.04 if count == 25 else 0)
                fake.add(method, 0, accuracy(reached), guidance=guidance, settings={W: guidance, COUNT: count})
    return fake


def test_a_grid_of_two_numbers_has_a_chart_for_each_method_and_a_line_for_each_value(grid):
    found = by_name(grid)
    assert [name for name in found if name.startswith("conflicting")] == [
        "conflicting_accuracy_by_guidance_ddb_two_step",
        "conflicting_accuracy_by_guidance_ddb_end_to_end",
        "conflicting_accuracy_by_images_per_class_ddb_two_step",
        "conflicting_accuracy_by_images_per_class_ddb_end_to_end",
    ]
    chart = found["conflicting_accuracy_by_guidance_ddb_two_step"]
    assert (chart.title, chart.level_label) == ("Conflicting accuracy by guidance: ddb_two_step", "images per class")
    assert [(series.label, series.level, series.reference) for series in chart.series] == [
        ("25", 25, False),
        ("100", 100, False),
        ("erm", None, True),
    ]
    assert lines(chart) == {
        "25": [(0, 46), (1, 56), (3, 76)],
        "100": [(0, 50), (1, 60), (3, 80)],
        "erm": [(0, 25), (3, 25)],
    }
    other = found["conflicting_accuracy_by_images_per_class_ddb_end_to_end"]
    assert lines(other) == {
        "0": [(25, 56), (100, 60)],
        "1": [(25, 66), (100, 70)],
        "3": [(25, 86), (100, 90)],
        "erm": [(25, 25), (100, 25)],
    }


def signalled(fake, method, guidance, drawn, steps=300, settings=None, **quality):
    """A finished cell with its amplifier."""
    values = {"precision": None, "recall": 0.5, "auroc": 0.75} | quality
    amplifier = fake.amplify(0, drawn, steps, quality=values, curve=fake.curve([1], None))
    fake.add(method, 0, accuracy(0.5), guidance=guidance, settings=settings, amplifier=amplifier)


def test_the_synthetic_images_and_the_amplifier_that_methods_share_are_drawn_once(fake):
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


def test_a_setting_that_does_not_reach_the_amplifier_has_no_chart_of_it(fake):
    fake.vary("methods.ddb_two_step.gamma")
    drawn = fake.draw(0, 1.0, 0.9)
    for gamma in (0, 1, 2):
        signalled(fake, "ddb_two_step", 1.0, drawn, settings={"methods.ddb_two_step.gamma": gamma})
    assert list(by_name(fake)) == ["conflicting_accuracy_by_gamma", "aligned_accuracy_by_gamma"]


def test_a_setting_of_the_amplifier_does_not_change_the_synthetic_images(fake):
    fake.vary(STEPS)
    drawn = fake.draw(0, 1.0, 0.9)
    for steps in (20, 300):
        signalled(fake, "ddb_two_step", 1.0, drawn, steps, {STEPS: steps}, recall=steps / 400)
    found = by_name(fake)
    assert "synthetic_by_amplifier_steps" not in found
    assert lines(found["amplifier_by_amplifier_steps"])["recall"] == [(20, 5), (300, 75)]


def test_amplifiers_that_only_a_methods_own_setting_tells_apart_are_told_by_the_method(fake):
    fake.vary(STEPS)
    for method, guidance in (("ddb_two_step", 1.0), ("ddb_end_to_end", 3.0)):
        drawn = fake.draw(0, guidance, 0.9)
        for steps in (20, 300):
            signalled(fake, method, guidance, drawn, steps, {STEPS: steps}, recall=guidance / 4)
    assert lines(by_name(fake)["amplifier_by_amplifier_steps"]) == {
        "recall, ddb_two_step": [(20, 25), (300, 25)],
        "recall, ddb_end_to_end": [(20, 75), (300, 75)],
        "AUROC, ddb_two_step": [(20, 75), (300, 75)],
        "AUROC, ddb_end_to_end": [(20, 75), (300, 75)],
    }


def test_each_data_set_has_charts_of_its_own(fake):
    fake.vary("base", STEPS)
    for dataset, reached in (("bar", 0.5), ("colored_digits", 0.75)):
        for steps in (20, 300):
            fake.add("erm", 0, accuracy(reached), dataset=dataset, settings={STEPS: steps})
    found = by_name(fake)
    assert {name: chart.title for name, chart in found.items()} == {
        "average_accuracy_by_amplifier_steps_bar": "bar: Average accuracy by amplifier steps",
        "conflicting_accuracy_by_amplifier_steps_colored_digits": (
            "colored_digits: Conflicting accuracy by amplifier steps"
        ),
        "aligned_accuracy_by_amplifier_steps_colored_digits": "colored_digits: Aligned accuracy by amplifier steps",
    }
    assert lines(found["conflicting_accuracy_by_amplifier_steps_colored_digits"]) == {"erm": [(20, 75), (300, 75)]}


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
