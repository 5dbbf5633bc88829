"""What a reader sees in a chart and in the overview figure, and the files of both."""

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from ddb.data import prepared
from ddb.errors import DDBError
from ddb.experiment import AmplifierRun
from ddb.report import figure
from ddb.report.charts import Chart, Series, chart_figure, chart_svg, save
from ddb.report.figure import draw
from ddb.store import Stage
from tests.ddb.report import hand_made
from tests.ddb.report.conftest import DATA

SVG = "{http://www.w3.org/2000/svg}"


def made_up(levels=0, methods=3, name="made_up"):
    """A reference line and many lines that are close to each other, with words that need escaping."""
    x = [0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0]
    series = [Series("_erm$x$", [x[0], x[-1]], [0.7] * 2, [0.02] * 2, [3] * 2, "erm", reference=True)]
    for number in range(levels or methods):
        mean = [0.8 + 0.002 * number + 0.01 * math.sin(i + number) for i in range(len(x))]
        line = Series(f"method {number}", x, mean, [0.01] * len(x), [3] * len(x))
        series.append(replace(line, label=str(number), family="a", level=float(number)) if levels else line)
    note = "Mean over seeds (n = 3); band: ± sample standard deviation (ddof 1). " * 3
    title, level_label = 'A <b> & "c" chart', "images per class" if levels else ""
    return Chart(name, title, "x < 1", "accuracy & more", False, series, note, level_label)


def test_lines_are_told_apart_without_colour():
    """Methods differ in colour and marker; two variants of one method in dash and fill; a reference line is dashed."""
    x, numbers = [1.0, 2.0], ([0.5, 0.6], [None, None], [1, 1])
    series = [Series(f"{f}, {v}", x, *numbers, family=f, variant=v) for f in "ab" for v in ("synthetic", "real")]
    erm = Series("erm", x, *numbers, family="erm", reference=True)
    (axes,) = chart_figure(replace(made_up(), series=[erm, *series])).axes
    reference, *others = axes.get_lines()
    a_synthetic, a_real, b_synthetic, b_real = ((line.get_color(), line.get_marker()) for line in others)
    assert a_synthetic == a_real and b_synthetic == b_real
    assert a_synthetic[0] != b_synthetic[0] and a_synthetic[1] != b_synthetic[1]
    styles = [(line.get_linestyle(), line.get_markerfacecolor() == "none") for line in others]
    assert styles == [("-", False), (":", True)] * 2 and reference.get_linestyle() == "--"


def test_bands_are_one_standard_deviation_and_a_single_point_has_a_whisker():
    """Points at 50 ± 10, 60 ± 5, 70 without and 80 ± 2.5 percent: a band over the first two, a whisker at the last.

    The reference line is at 70 ± 2; a line of one seed has neither band nor whisker.
    """
    line = Series("a", [1.0, 2.0, 3.0, 4.0], [0.5, 0.6, 0.7, 0.8], [0.1, 0.05, None, 0.025], [3, 3, 1, 3])
    single = Series("b", [1.0, 2.0], [0.5, 0.6], [None, None], [1, 1])
    (axes,) = chart_figure(replace(made_up(), series=[made_up().series[0], line, single])).axes
    band, whisker, *others = axes.collections
    corners = {(round(x, 6), round(y, 6)) for path in band.get_paths() for x, y in path.vertices}
    assert {(x, y) for x, y in corners if x < 4} == {(1, 40), (1, 60), (2, 55), (2, 65)}
    assert [segment.round(6).tolist() for segment in whisker.get_segments()] == [[[4, 77.5], [4, 82.5]]]
    assert not any(len(path.vertices) for each in others for path in each.get_paths())
    low, high = axes.get_ylim()
    assert low < 40 and 82.5 < high < 100
    reference, (around,) = axes.get_lines()[0], axes.patches
    assert list(reference.get_ydata()) == [70, 70] and reference.get_xdata() == [0, 1]
    assert (around.get_y(), around.get_height()) == (pytest.approx(68), pytest.approx(4))


def test_an_svg_is_one_escaped_element_that_uses_the_pages_text_colour():
    first, second = chart_svg(made_up(methods=7, name="one.two")), chart_svg(made_up(levels=30, name="three"))
    assert first.startswith("<svg ") and first.endswith("</svg>") and first.count("<svg") == 1
    for forbidden in ("<?xml", "<!DOCTYPE", "metadata", "<style", "#000000", "#ffffff", "black", "white", "<b>"):
        assert forbidden not in first
    root = ET.fromstring(first)
    assert root.get("fill") == "currentColor" and root.get("role") == "img" and "stroke: currentColor" in first
    words, of_levels = (
        {"".join(element.itertext()).strip() for element in ET.fromstring(text).iter(f"{SVG}text")}
        for text in (first, second)
    )
    assert {'A <b> & "c" chart', "x < 1", "accuracy & more", "_erm$x$", "method 0", "method 6", "15"} <= words
    assert {"images per class", "_erm$x$", *map(str, range(30))} <= of_levels  # labels at the ends of the lines
    assert not any("Mean over seeds" in word for word in words)  # the page has the note as its own text
    assert "Mean over seeds" in chart_figure(made_up()).texts[-1].get_text().replace("\u00a0", " ")
    ids = [re.findall(r'\bid="([^"]*)"', text) for text in (first, second)]
    assert len({*ids[0], *ids[1]}) == len(ids[0]) + len(ids[1])  # two charts can share a page
    used = {a or b for a, b in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', first)}
    assert used and used <= set(ids[0])


def metrics(conflicting):
    groups = {"conflicting_accuracy": conflicting, "worst_group_accuracy": conflicting - 0.25}
    return groups | {"average_accuracy": conflicting + 0.02, "aligned_accuracy": 1.0}


def save_overview(fake, directory):
    """The overview figure as PNG and PDF."""
    paths = [directory / "figure.png", directory / "figure.pdf"]
    for path in paths:
        draw(fake, fake.store, path)
    return paths


@pytest.mark.parametrize("write", [lambda fake, directory: save(made_up(), directory), save_overview])
def test_the_same_numbers_give_the_same_bytes(fake, tmp_path, write):
    fake.add("erm", 0, metrics(0.6))
    first, second = write(fake, tmp_path / "a"), write(fake, tmp_path / "b")
    assert [path.suffix for path in first] == [".png", ".pdf"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    pdf = first[1].read_bytes()
    assert first[0].read_bytes().startswith(b"\x89PNG") and pdf.startswith(b"%PDF") and b"Date" not in pdf
    assert chart_svg(made_up()) == chart_svg(made_up())
    (tmp_path / "file").touch()
    with pytest.raises(DDBError, match=r"(chart|figure) .*file/new/\w+.png cannot be written: Not a directory"):
        write(fake, tmp_path / "file" / "new")


@pytest.fixture
def overview(fake, tmp_path, monkeypatch):
    """A function that draws the overview figure of `fake` and returns it with all its texts."""
    drawn, savefig = [], figure.Figure.savefig

    def collect(self, *arguments, **options):
        savefig(self, *arguments, **options)
        drawn.append(self)

    def write():
        draw(fake, fake.store, tmp_path / "figure.png")
        return drawn[-1], {text.get_text() for text in drawn[-1].findobj(Text)}

    monkeypatch.setattr(figure.Figure, "savefig", collect)
    return write


def prepare(fake, data):
    with fake.store.produce(DATA) as work:
        prepared.write(data, work.result)


def test_the_overview_of_a_finished_plan(fake, overview, tmp_path):
    """Of the failed methods, one has two of three seeds and the other none."""
    prepare(fake, hand_made.dataset())
    for guidance in (0.0, 1.0):
        stage = fake.draw(0, guidance, 0.978 + 0.02 * guidance)
        with fake.store.produce(stage) as work:
            hand_made.draw(stage, work.result)
    for seed in range(3):
        fake.amplify(seed, fake.draw(seed, 0.0), curve=fake.curve([2, 2], 2))
        fake.amplify(seed, curve=fake.curve([1, 0], 2))
        fake.add("erm", seed, metrics(0.64))
        fake.add("ddb_two_step", seed, metrics(0.79 + 0.01 * seed), guidance=1.0)
        fake.add("ddb_end_to_end_joint", seed, metrics(0.75) if seed < 2 else None, guidance=1.0)
    fake.store.fail(fake.cells[-1].stage, "out of memory")
    fake.store.fail(fake.add("group_dro", 0), "out of memory")
    _, texts = overview()
    with Image.open(tmp_path / "figure.png") as image:
        assert image.format == "PNG" and image.size[0] == 1800 and np.asarray(image.convert("L")).std() > 10
    assert {
        "real, aligned\n(66.7% of them)",
        "real, conflicting\n(33.3% of them)",
        "synthetic, w = 0\n(scale 1)\n97.8% aligned",
        "synthetic, w = 1\n(scale 2)\n99.8% aligned",
        "all 2 conflicting images",
        "trained on real images (3 seeds)",
        "80.0",  # ddb_two_step: (79 + 80 + 81) / 3
        "ddb_end_to_end_joint\n2/3 seeds, 1 failed",
        "group_dro\n0/1 seeds, 1 failed",
        "no seed is finished",
    } <= texts


def test_panels_without_results_say_what_is_missing(fake, overview):
    fake.add("erm", 0)
    missing = {"the data set is not prepared yet", "no method is finished yet"}
    assert missing <= overview()[1]
    prepare(fake, hand_made.dataset())
    fake.amplify(0, fake.draw(0, 0.0), curve=fake.curve([2, 2], 2))
    fake.finish(fake.cells[0].stage, metrics=metrics(0.6))
    _, texts = overview()
    assert "no synthetic set is finished yet" in texts and not missing & texts
    assert any("no amplifier trained on real images is finished" in text for text in texts)


def test_panels_that_an_experiment_has_no_results_for_are_left_out(fake, overview):
    """Without synthetic images and trained amplifiers, as with closed forms."""
    prepare(fake, hand_made.dataset())
    fake.add("erm", 0, metrics(0.6))
    figure, texts = overview()
    assert "Training images" in texts and len(figure.axes) == 2
    assert not {text for text in texts if "synthetic" in text or "Memorisation" in text}


def test_without_bias_labels_only_the_average_is_shown(fake, overview):
    prepare(fake, hand_made.dataset(bias_labels=False))
    fake.add("erm", 0, {"average_accuracy": 0.5186})
    fake.amplify(0, curve=fake.curve([None], None))
    _, texts = overview()
    assert {"51.9", "average", "real", "the bias of this data set is not labelled"} <= texts
    assert not {"aligned", "conflicting", "worst group"} & texts


def test_rows_have_their_varied_settings_and_names_are_not_read_as_formulas(fake, overview):
    fake.add("$\\bad_{$", 0, metrics(0.6), settings={"amplifier.steps": None})
    for steps in (20, 300):
        fake.add("ddb_two_step", 0, metrics(0.7), guidance=1.0, settings={"amplifier.steps": steps})
    _, texts = overview()
    assert {"$\\bad_{$", "ddb_two_step, amplifier steps 20", "ddb_two_step, amplifier steps 300"} <= texts


def test_the_overview_has_the_first_amplifier_of_each_seed_of_the_first_data_set(fake, overview):
    """Seed 0: 4 of 8 left; seed 1: 2. Later amplifiers of these seeds and those of another data set are left out."""
    fake.add("erm", 0)
    for seed, left in ((0, 4), (1, 2)):
        fake.amplify(seed, fake.draw(seed, 1.0), curve=fake.curve([left], 8))
        fake.amplify(seed, fake.draw(seed, 3.0), curve=fake.curve([8], 8))
    other = Stage("amplifier", {"amplifier": {"source": "synthetic"}}, 1, {"data": Stage("data", {"seed": 9}, 1)})
    fake.amplifiers[other.key] = AmplifierRun("synthetic", 5, other)
    fake.finish(other, curve=fake.curve([7], 8))
    drawn, _ = overview()
    lines = [line for axes in drawn.axes for line in axes.get_lines()]
    (line,) = (line for line in lines if line.get_label().startswith("trained on"))
    assert (line.get_label(), list(line.get_ydata())) == ("trained on synthetic images (2 seeds)", [3.0])
