"""The memorisation curve: of which amplifiers, with which numbers by hand, and when there is none."""

import math

import pytest

from ddb.artifacts import Stage
from ddb.experiment import AmplifierRun
from ddb.report.charts import charts


def lines(chart):
    """label -> (epoch, mean in percent) of every line."""
    return {s.label: list(zip(s.x, (round(100 * m, 6) for m in s.mean), strict=True)) for s in chart.series}


def test_the_memorisation_curve_by_hand(fake):
    """8 conflicting images; two seeds with 8 and 6 left, then 6 and 2: means 7/8 and 1/2."""
    fake.add("erm", 0)
    for seed, left in ((0, [8, 6]), (1, [6, 2])):
        fake.amplify(seed, fake.draw(seed, 0.5), steps=40, curve=fake.curve(left, 8))
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


def test_of_several_amplifiers_the_longest_trained_and_first_finished_is_drawn(fake):
    fake.add("erm", 0)
    other = Stage("data", {"seed": 9}, 1)
    stage = Stage("amplifier", {"amplifier": {"source": "synthetic", "steps": 900}, "seed": 0}, 1, {"data": other})
    fake.amplifiers[stage.key] = AmplifierRun("synthetic", 0, stage)
    fake.finish(stage, curve=fake.curve([1], 8))
    fake.amplify(0, fake.draw(0, 5.0), steps=600)  # has not run
    fake.amplify(0, fake.draw(0, 0.0), steps=20, curve=fake.curve([2], 8))
    fake.amplify(0, fake.draw(0, 1.0), steps=300, curve=fake.curve([4], 8))
    fake.amplify(0, fake.draw(0, 3.0), steps=300, curve=fake.curve([6], 8))
    (chart,) = charts(fake, fake.store)
    assert lines(chart) == {"trained on synthetic images": [(1, 50)]} and "300 steps, guidance 1." in chart.note


@pytest.mark.parametrize("total", [None, 0])
def test_without_conflicting_images_there_is_no_memorisation_curve(fake, total):
    fake.add("erm", 0)
    point = {"step": 1, "epoch": 1.0, "errors": 3, "conflicting_errors": total, "conflicting_total": total}
    fake.amplify(0, curve=[point])
    assert charts(fake, fake.store) == []
