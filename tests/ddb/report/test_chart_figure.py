"""How charts look: legible, told apart without colour, at home on a light or dark page, the same bytes each time."""

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from ddb.errors import DDBError
from ddb.report.charts import Chart, Series, chart_figure, chart_svg, save

SVG = "{http://www.w3.org/2000/svg}"
GUIDANCE = (0, 0.5, 1, 2, 3, 5, 7, 10, 15)


def made_up(levels=0, methods=3, log=False, label="method {}", values=GUIDANCE, name="made_up"):
    """A reference line and many lines that are close to each other, with words that need escaping."""
    x = [float(value) for value in values]
    series = [Series("_erm$x$", x[:: len(x) - 1 or 1], [0.7] * 2, [0.02] * 2, [3] * 2, "erm", reference=True)]
    for number in range(levels or methods):
        mean = [0.8 + 0.002 * number + 0.01 * math.sin(i + number) for i in range(len(x))]
        line = Series(label.format(number), x, mean, [0.01] * len(x), [3] * len(x))
        series.append(replace(line, label=str(number), family="a", level=float(number)) if levels else line)
    note = "Mean over seeds (n = 3); band: ± sample standard deviation (ddof 1). " * 3
    title, level_label = 'A <b> & "c" chart', "images per class" if levels else ""
    return Chart(name, title, "x < 1", "accuracy & more", log, series, note, level_label)


CHARTS = [
    made_up(),
    made_up(log=True),
    made_up(methods=7, label="a method with a long name, ancestral, number {}"),
    made_up(label="a name without an end " * 9 + "{}"),
    made_up(levels=9, log=True),
    made_up(levels=30),
    made_up(values=(20, 60, 100, 200, 300, 600), log=True),
    made_up(values=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.9), log=True),
    made_up(values=(25, 50, 100, 200, 350, 500)),
    made_up(values=(1,), log=True),
    made_up(values=(0,), log=True),
    made_up(values=range(1, 38)),
    made_up(values=(0, 0.05, 0.1, 0.15, 15)),
]


@pytest.mark.parametrize("chart", CHARTS)
def test_nothing_that_is_written_overlaps_or_is_cut_off(chart):
    figure = chart_figure(chart)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    texts = [axes.xaxis.label, axes.yaxis.label, *axes.texts, *figure.texts]
    legend = axes.get_legend()
    if legend:
        texts += legend.get_texts()
        assert legend.get_window_extent().y0 >= axes.bbox.y1  # not over the data
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    # Without the line from a label to its end, which an annotation counts as its own.
    found = [(text.get_text(), Text.get_window_extent(text)) for text in texts if text.get_text()]
    assert len(found) >= 9 and {"x < 1", "accuracy & more", chart.title} <= {text for text, _ in found}
    assert [(a, b) for i, (a, box) in enumerate(found) for b, other in found[:i] if box.overlaps(other)] == []
    page = figure.bbox
    assert all(page.x0 <= b.x0 and b.x1 <= page.x1 and page.y0 <= b.y0 and b.y1 <= page.y1 for _, b in found)
    assert axes.bbox.height > 150 and axes.bbox.width > 400  # pixels, of which a figure has 720 by 460


def test_labels_of_lines_that_end_together_stand_beside_the_axes_in_the_order_of_the_ends():
    chart = made_up(levels=12)
    ends = [0.5 + 0.0001 * ((5 * number) % 12) for number in range(12)]  # all but together, below the reference line
    levels = [replace(line, mean=[end] * 9) for line, end in zip(chart.series[1:], ends, strict=True)]
    (axes,) = chart_figure(replace(chart, series=[chart.series[0], *levels])).axes
    axes.figure.draw_without_rendering()
    boxes = {text.get_text(): Text.get_window_extent(text) for text in axes.texts}
    middle = {text: (box.y0 + box.y1) / 2 for text, box in boxes.items()}
    assert sorted(middle, key=middle.get) == [
        *(str(number) for number in sorted(range(12), key=ends.__getitem__)),
        "_erm$x$",
        "images per class",
    ]
    assert all(axes.bbox.y0 <= y <= axes.bbox.y1 for y in middle.values())
    assert all(axes.bbox.x1 < box.x0 for box in boxes.values())


def test_the_title_the_note_and_every_label_are_written_as_they_are():
    chart = made_up()
    figure = chart_figure(chart)
    title, note = (text.get_text() for text in figure.texts)
    assert title == chart.title
    assert note.replace("\n", " ").replace("\u00a0", " ") == chart.note.strip()
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["_erm$x$", "method 0", "method 1", "method 2"]
    assert not any(text.get_parse_math() for text in figure.axes[0].get_legend().get_texts())


def drawn(chart):
    """The lines in order: hex colour, marker, dash, whether the markers are hollow."""
    found = [line for line in chart_figure(chart).axes[0].get_lines()]
    return [
        (
            matplotlib.colors.to_hex(line.get_color()),
            line.get_marker(),
            line.get_linestyle(),
            line.get_markerfacecolor() == "none",
        )
        for line in found
    ]


def test_methods_differ_in_colour_and_in_marker_and_a_reference_line_in_its_dash():
    reference, *others = drawn(made_up(methods=6))
    assert len({color for color, *_ in [reference, *others]}) == 7 and len({marker for _, marker, *_ in others}) == 6
    assert reference[1:3] == ("None", "--") and {dash for _, _, dash, _ in others} == {"-"}


def test_variants_of_a_method_share_its_colour_and_differ_in_dash_and_fill():
    x, numbers = [1.0, 2.0], ([0.5, 0.6], [None, None], [1, 1])
    series = [Series(f"{f}, {v}", x, *numbers, family=f, variant=v) for f in "ab" for v in ("synthetic", "real")]
    erm = Series("erm", x, *numbers, family="erm", reference=True)
    _, a_synthetic, a_real, b_synthetic, b_real = drawn(replace(made_up(), series=[erm, *series]))
    assert a_synthetic[:2] == a_real[:2] != b_synthetic[:2] == b_real[:2]
    assert a_synthetic[2:] == b_synthetic[2:] == ("-", False) and a_real[2:] == b_real[2:] == (":", True)


def test_values_of_a_second_setting_go_from_dark_to_light_with_the_value():
    chart = made_up(levels=6)
    shuffled = replace(chart, series=chart.series[::-1])
    found = [color for color, marker, *_ in drawn(shuffled) if marker != "None"]
    light = [np.dot((0.299, 0.587, 0.114), matplotlib.colors.to_rgb(color)) for color in found]
    assert len(light) == 6 and light == sorted(light, reverse=True)
    assert len({marker for _, marker, *_ in drawn(chart)[1:]}) == 6


def test_bands_are_one_standard_deviation_and_a_lone_point_has_a_whisker():
    """Points at 50 ± 10, 60 ± 5, 70 without and 80 ± 2.5 percent: a band over the first two, a whisker at the last."""
    line = Series("a", [1.0, 2.0, 3.0, 4.0], [0.5, 0.6, 0.7, 0.8], [0.1, 0.05, None, 0.025], [3, 3, 1, 3])
    (axes,) = chart_figure(replace(made_up(), series=[line])).axes
    band, whisker = axes.collections
    corners = {(round(x, 6), round(y, 6)) for path in band.get_paths() for x, y in path.vertices}
    assert {(x, y) for x, y in corners if x < 4} == {(1, 40), (1, 60), (2, 55), (2, 65)}
    assert [segment.round(6).tolist() for segment in whisker.get_segments()] == [[[4, 77.5], [4, 82.5]]]
    low, high = axes.get_ylim()
    assert low < 40 and 82.5 < high < 100


def test_a_reference_line_lies_across_with_its_band():
    (axes,) = chart_figure(made_up()).axes
    line = axes.get_lines()[0]
    assert list(line.get_ydata()) == [70, 70] and line.get_xdata() == [0, 1]
    (band,) = axes.patches
    assert (band.get_y(), band.get_height()) == (pytest.approx(68), pytest.approx(4))


def test_one_seed_has_neither_band_nor_whisker():
    line = Series("a", [1.0, 2.0], [0.5, 0.6], [None, None], [1, 1])
    (axes,) = chart_figure(replace(made_up(), series=[line])).axes
    band, *whiskers = axes.collections
    assert not any(len(path.vertices) for path in band.get_paths())
    assert not any(len(each.get_segments()) for each in whiskers)


def test_a_whole_axis_goes_from_nothing_to_all():
    low, high = chart_figure(replace(made_up(), whole=True)).axes[0].get_ylim()
    assert -10 < low <= 0 and 100 <= high < 110


@pytest.mark.parametrize(("values", "scale"), [((1, 30), "log"), ((0, 0.5, 15), "symlog")])
def test_a_zero_has_its_place_on_a_logarithmic_axis(values, scale):
    (axes,) = chart_figure(made_up(values=values, log=True)).axes
    assert axes.get_xscale() == scale
    places = axes.transData.transform([(value, 75) for value in values])[:, 0]
    assert np.isfinite(places).all() and (np.diff(places) > 50).all()


def svg(chart):
    return ET.fromstring(chart_svg(chart))


def test_an_svg_is_one_element_that_takes_the_pages_text_colour():
    text = chart_svg(made_up(methods=7))
    assert text.startswith("<svg ") and text.endswith("</svg>") and text.count("<svg") == 1
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg" and root.get("fill") == "currentColor" and root.get("role") == "img"
    for forbidden in ("<?xml", "<!DOCTYPE", "metadata", "<style", "#000000", "#ffffff", "black", "white", "<image"):
        assert forbidden not in text
    assert "stroke: currentColor" in text
    left, top, width, height = (float(part) for part in root.get("viewBox").split())
    assert (left, top, width) == (0, 0, 7.2 * 72) and height >= 4.6 * 72


def test_an_svg_has_its_words_as_text_and_nothing_in_them_is_markup():
    chart = made_up()
    root = svg(chart)
    assert root.find(f"{SVG}title").text == chart.title
    words = ["".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")]
    assert {chart.title, chart.x_label, chart.y_label, "_erm$x$", "method 0", "15"} <= set(words)
    assert not any("Mean over seeds" in word for word in words)  # the page has the note as its own text
    assert root.find(f".//{SVG}b") is None and "<b>" not in chart_svg(chart)


def ids(text):
    return re.findall(r'\bid="([^"]*)"', text)


def test_charts_can_share_a_page():
    first, second = (chart_svg(made_up(name=name)) for name in ("one.two", "three"))
    assert len(set(ids(first + second))) == len(ids(first)) + len(ids(second))
    for text in (first, second):
        used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text))
        assert used and {a or b for a, b in used} <= set(ids(text))


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    chart = made_up()
    first, second = save(chart, tmp_path / "a"), save(chart, tmp_path / "b")
    assert [path.name for path in first] == ["made_up.png", "made_up.pdf"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert chart_svg(chart) == chart_svg(chart) and chart_svg(chart) != chart_svg(made_up(methods=4))
    pdf = first[1].read_bytes()
    assert pdf.startswith(b"%PDF") and b"Date" not in pdf
    with Image.open(first[0]) as image:
        assert image.format == "PNG" and image.size[0] == 1080
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DDBError, match=r"chart .*file/charts/made_up.png cannot be written: Not a directory"):
        save(made_up(), tmp_path / "file" / "charts")
