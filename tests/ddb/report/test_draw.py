"""What a reader sees in a chart and in the overview figure, and the files of both."""

import base64
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from PIL import Image

from ddb.data import prepared
from ddb.errors import DDBError
from ddb.recipes import METHODS
from ddb.report import figure
from ddb.report.charts import Chart, Line
from ddb.report.draw import COLORS, chart_figure, chart_uri, save
from ddb.report.figure import draw
from tests.ddb.report import hand_made
from tests.ddb.report.conftest import DATA


def points(mean, std=None, x=None):
    x = range(len(mean)) if x is None else x
    return pd.DataFrame({"x": x, "mean": mean, "std": np.nan if std is None else std, "n": 3})


def chart(*lines, panels=None, **options):
    values = {"name": "made_up", "title": 'A <b> & "c" chart', "x_label": "x < 1", "y_label": "accuracy & more"}
    return Chart(**values, panels=panels or {"": list(lines)}, note="Mean over seeds (n = 3). " * 9, **options)


ERM = Line("erm", points([70]), "erm", reference=True)


def styles(drawn):
    """(colour, marker, line, face) of each line with points, by its label."""
    found = {}
    for container in drawn.axes[0].containers:
        line = container.lines[0]
        found[container.get_label()] = (line.get_color(), line.get_marker(), line.get_linestyle(),
                                        line.get_markerfacecolor())  # fmt: skip
    return found


def test_colour_means_the_method_in_every_chart_and_nothing_else():
    first = styles(chart_figure(chart(ERM, Line("a", points([1, 2]), "lff"), Line("b", points([2, 3]), "jtt"))))
    second = styles(chart_figure(chart(Line("c", points([2, 3]), "jtt"), Line("recall", points([5, 6])))))
    assert first["b"][:2] == second["c"][:2] and first["a"][0] != first["b"][0] and first["a"][1] != first["b"][1]
    red, green, blue = (int(second["recall"][0][place : place + 2], 16) for place in (1, 3, 5))
    assert red == green == blue  # grey: not a method's
    assert len(METHODS) <= len({*COLORS}) and not any(max(each[:3]) - min(each[:3]) < 0.1 for each in COLORS)
    rows = Chart("accuracy", "t", "x", "", {"": [Line("aligned", points([9]))]}, "", rows=("erm",))
    assert styles(chart_figure(rows))["aligned"][0] == "#000000"


def test_lines_are_told_apart_without_colour():
    """Of one method by dash and fill; different ones by marker."""
    drawn = [Line(f"{m} {v}", points([1, 2]), m) for m in ("lff", "jtt") for v in ("synthetic", "real")]
    found = styles(chart_figure(chart(*drawn)))
    assert found["lff synthetic"][:2] == found["lff real"][:2]
    assert found["lff synthetic"][2] == "-" and found["lff real"][2:] == ("--", "white")
    reference = chart_figure(chart(ERM, *drawn)).axes[0].get_lines()[0]
    assert list(reference.get_ydata()) == [70, 70] and reference.get_linestyle() == "--"


def test_whiskers_are_one_standard_deviation():
    """50 ± 10, 60 ± 5, and 70 of one seed."""
    (axes,) = chart_figure(chart(Line("a", points([50, 60, 70], [10, 5, np.nan]), "erm"))).axes
    segments = [s.round(6).tolist() for each in axes.containers[0].lines[2] for s in each.get_segments()]
    assert segments == [[[0, 40], [0, 60]], [[1, 55], [1, 65]], [[2, 70], [2, 70]]]
    low, high = axes.get_ylim()
    assert 35 < low < 40 and 70 < high < 75  # the axis holds what there is


def test_panels_share_their_axes_and_have_their_titles():
    two = {"w 1": [Line("a", points([1, 2]), "erm")], "w 3": [Line("a", points([50, 60]), "erm")]}
    drawn = chart_figure(chart(panels=two))
    first, second = drawn.axes
    assert [axes.get_title() for axes in drawn.axes] == ["w 1", "w 3"]
    assert first.get_ylim() == second.get_ylim() and first.get_ylim()[1] > 60
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["a"] and second.get_legend() is None


def test_the_image_for_a_page_is_an_svg_without_the_note():
    head, _, data = chart_uri(chart(ERM, Line("b", points([1, 2]), "jtt"))).partition(",")
    assert head == "data:image/svg+xml;base64"
    root = ET.fromstring(base64.b64decode(data))
    assert root.tag.endswith("svg") and float(root.get("height").removesuffix("pt")) < 400
    assert "Mean over seeds" in chart_figure(chart(ERM)).texts[-1].get_text() or chart_figure(chart(ERM))._supxlabel


def metrics(conflicting):
    groups = {"conflicting_accuracy": conflicting, "worst_group_accuracy": conflicting - 0.25}
    return groups | {"average_accuracy": conflicting + 0.02, "aligned_accuracy": 1.0}


def save_overview(fake, directory):
    """The overview figure as PNG and PDF."""
    paths = [directory / "figure.png", directory / "figure.pdf"]
    draw(fake, fake.store, *paths)
    return paths


@pytest.mark.parametrize("write", [lambda fake, directory: save(chart(ERM), directory), save_overview])
def test_the_same_numbers_give_the_same_bytes(fake, tmp_path, write):
    fake.add("erm", 0, metrics(0.6))
    first, second = write(fake, tmp_path / "a"), write(fake, tmp_path / "b")
    assert [path.suffix for path in first] == [".png", ".pdf"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    pdf = first[1].read_bytes()
    assert first[0].read_bytes().startswith(b"\x89PNG") and pdf.startswith(b"%PDF") and b"Date" not in pdf
    assert chart_uri(chart(ERM)) == chart_uri(chart(ERM))
    (tmp_path / "file").touch()
    with pytest.raises(DDBError, match=r"figure .*file/new/\w+.png cannot be written: Not a directory"):
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
    drawn, texts = overview()
    with Image.open(tmp_path / "figure.png") as image:
        assert image.format == "PNG" and image.size[0] == 1800 and np.asarray(image.convert("L")).std() > 10
    assert {
        "real, aligned\n66.7% of the training images",
        "real, conflicting\n33.3% of the training images",
        "w = 0\nscale 1\n97.8% aligned",
        "w = 1\nscale 2\n99.8% aligned",
        "real images",
        "synthetic images, w = 0",
        "80.0",  # ddb_two_step: (79 + 80 + 81) / 3
        "always the most frequent class",
        "ddb_end_to_end_joint",
    } <= texts
    assert any(text.endswith("2 of 10 cells are failed.") for text in texts)
    memorised = next(axes for axes in drawn.axes if axes.get_title(loc="left").startswith("Memorisation"))
    assert memorised.get_ylim() == (-3, 103)


def test_panels_without_results_say_what_is_missing(fake, overview):
    fake.add("erm", 0)
    missing = {"the data set is not prepared yet", "no method is finished yet"}
    assert missing <= overview()[1]
    prepare(fake, hand_made.dataset())
    fake.draw(0, 0.0)
    fake.finish(fake.cells[0].stage, metrics=metrics(0.6))
    _, texts = overview()
    assert "No synthetic set of this data set is finished yet." in " ".join(texts) and not missing & texts


@pytest.mark.parametrize("bias_labels", [True, False])
def test_panels_that_an_experiment_has_no_results_for_are_left_out(fake, overview, bias_labels):
    """Without synthetic images and amplifiers that are trained, and without bias labels nobody knows who memorises."""
    prepare(fake, hand_made.dataset(bias_labels=bias_labels))
    fake.add("erm", 0, metrics(0.6) if bias_labels else {"average_accuracy": 0.5186})
    if not bias_labels:
        fake.amplify(0, curve=fake.curve([None, None], None))
    drawn, texts = overview()
    assert "Training images" in texts and len(drawn.axes) == 2
    assert not {text for text in texts if "synthetic" in text or "Memorisation" in text}
    assert bias_labels or (
        {"51.9", "average", "real\nthe bias is not labelled"} <= texts and not {"aligned", "worst group"} & texts
    )


def test_names_are_not_read_as_formulas(fake, overview):
    fake.add("$\\bad_{$", 0, metrics(0.6))
    assert "$\\bad_{$" in overview()[1]
