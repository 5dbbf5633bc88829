"""The report's page: numbers and their origin by hand, nothing missing goes unsaid, names inject nothing, and in a
browser it sorts, unfolds, shows every picture and never scrolls sideways."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from ddb.artifacts import Store
from ddb.report.report_page import _sort_value, _sprite, render_report
from tests.ddb.report.browser import CHROMIUM, Browser
from tests.ddb.report.hand_made import COMMIT, complete, dataset, finish, make_plan, metrics

EVIL = '"><script>alert(1)</script>'
LONG = "averylongname" * 8
VARY = {"vary": {"sampling.guidance": [0, 1]}}
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH")


class Reader(HTMLParser):
    """The elements with their attributes, and the text of all but styles and scripts, as a browser takes them."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.words, self.hidden, self.scripts = [], [], None, []
        self.feed(page)
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.hidden = tag if tag in ("style", "script") else None
        self.words.append("" if tag == "wbr" else " ")

    def handle_endtag(self, tag):
        self.hidden = None
        self.words.append(" ")

    def handle_data(self, data):
        if self.hidden == "script":
            self.scripts.append(data)
        elif not self.hidden:
            self.words.append(data)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


def own_images(tmp_path, name, label):
    """The plan of a folder of images at a path and with a method label that are `name` and `label`."""
    root = tmp_path / name
    for each in ("cat", "dog"):
        (root / each).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(root / each / f"{i}.png")
    methods = {label: {"method": "erm"}, "ddb_two_step": {}}
    return make_plan("seeds=[0]", dataset={"name": "folder", "root": str(root), "image_size": 16}, methods=methods)


def hostile(tmp_path, store, name=EVIL):
    """A finished plan of which everything that a person can name is called `name`."""
    graph = own_images(tmp_path, name, name)
    paths = [f"{name}/{i}.png" for i in range(6)]
    complete(graph, store, dataset((name, "dog"), bias_labels=False, paths=paths), skip=("target",))
    finish(store, graph.cells[0].stage, metrics=metrics(graph.cells[0], False) | {"group_accuracy": {name: 0.5}})
    store.fail(graph.cells[1].stage, f"Traceback\n{name}")
    return graph


def test_the_table_and_behind_each_row_every_seed(store):
    graph = make_plan(**VARY)
    complete(graph, store)
    text = Reader(render_report(graph, store)).text
    assert "6 of 6 cells finished." in text and "guidance w (scale 1 + w) varies: 0 , 1" in text
    assert "ddb_two_step 1 86.0 ± 7.1 (2) 86.0 ± 7.1 (2) 100.0 ± 0.0 (2) 43.0 ± 3.5 (2)" in text
    rows = "percent seed 0 seed 1 average 81.00 91.00 conflicting 81.00 91.00 aligned 100.00 100.00"
    assert f"{rows} worst group 40.50 45.50" in text
    assert "group, percent seed 0 seed 1 cat/aligned 100.00 100.00 cat/conflicting 40.50 45.50" in text


def test_every_number_says_where_it_comes_from(store):
    graph = make_plan("seeds=[0]")
    complete(graph, store)
    page = render_report(graph, store, "ddb run mine.yaml seeds=[0]")
    text, target = Reader(page).text, graph.cells[1].stage
    needed = f"data/{target.inputs['data'].key} , amplifier/{target.inputs['amplifier'].key}"
    origin = f"5.0 s 2026-01-02 03:04:05 UTC host-a, cpu (2 cores) {COMMIT}, with uncommitted changes"
    assert f"0 target/{target.key} finished {needed} {origin}" in text
    assert '"batch_size": 64' in text.partition("Configuration of the target, seed 0")[2]
    assert "to make it again ddb run mine.yaml seeds=[0]" in text
    assert f"commits {COMMIT} (6 stages) {COMMIT}, with uncommitted changes (2 stages)" in text
    assert "packages python 3.11.7, torch 2.9.0" in text
    read = Reader(page)
    ids = [values["id"] for _, values in read.elements if "id" in values]
    assert len(ids) == len(set(ids))
    assert {values["href"][1:] for tag, values in read.elements if tag == "a"} <= set(ids)
    assert {f"stage-{stage.key}" for stage in graph.stages()} <= set(ids)


def test_the_paper_stands_beside_ours_where_the_setting_is_its_own(store):
    from ddb.config_file import CONFIGS, load
    from ddb.experiment import plan

    graph = plan(load(CONFIGS / "benchmarks" / "waterbirds.yaml", ["seeds=[0]"]))
    header = [title for title in Reader(render_report(graph, store)).text.split(" data set ") if "paper:" in title]
    assert header and "gap" in header[0]


def test_signals_pictures_curves_and_costs_are_there(store):
    graph = make_plan(**VARY)
    complete(graph, store)
    page = render_report(graph, store)
    text = Reader(page).text
    assert "1 95.0 ± 0.0 (2) 100.0 ± 0.0 (2) 100.0 ± 0.0 (2) 50.0 ± 0.0 (2) 75.0 ± 0.0 (2)" in text
    assert "w = 1 scale 2, 95.0% aligned" in text and "draws with seed 0" in text
    assert "6 of 6 training images" in text and "2 of all break the bias, and 2 of those shown" in text
    assert "cat , taken for dog score 7.50 truly conflicting train/2.png" in text
    assert "dog , recognised as dog score 4.00 not conflicting train/4.png" in text
    curves = text.rpartition("Curves")[2].partition("Most conflicting")[0]
    assert "guidance w (scale 1 + w) erm ddb_two_step" in curves and "1 55.0 ± 7.1 (2) 86.0 ± 7.1 (2)" in curves
    assert "synthetic 4 32.0 s 8.0 s" in text and "target 6 30.0 s 5.0 s" in text
    # ERM 2 x (1 + 5) and DDB 4 x (1 + 10 + 8 + 3 + 5); shared 1 + 2 x 10 + 4 x 8 + 4 x 3 + 6 x 5
    assert "rest on stages that took 1 min 35 s" in text and "2 min 00 s , 1.3 times as long" in text


def test_a_run_under_way_says_what_is_missing(store):
    graph = make_plan(**VARY)
    text = Reader(render_report(graph, store)).text
    for words in (
        "0 of 6 cells finished, 6 missing.",
        "0/2 seeds, 2 missing",
        "no seed is finished",
        "No amplifier’s signal is measured yet.",
        "The data set is not prepared yet.",
        "There are no numbers for a curve yet, or nothing that varies.",
        "No amplifier on synthetic images is finished yet.",
        "target 0 of 6",
        "computed nothing yet",
        "with the configuration below in experiment.yaml",
    ):
        assert words in text, words
    complete(graph, store, skip=("alignment", "target"))
    finish(store, graph.cells[0].stage, metrics=metrics(graph.cells[0]))
    text = Reader(render_report(graph, store)).text
    assert "1 of 6 cells finished, 5 missing." in text and "1/2 seeds, 1 missing" in text
    assert "average 50.00 –" in text and "The finished cell rests on" in text


def test_failures_are_told_with_their_last_line(store):
    graph = make_plan(**VARY)
    cdpm = next(stage for stage in graph.stages() if stage.name == "cdpm")
    store.fail(cdpm, "Traceback\nValueError: the loss is <b>not</b> finite")
    page = render_report(graph, store)
    text = Reader(page).text
    assert "0 of 6 cells finished, 2 failed or blocked by a failed stage, 4 missing." in text
    assert f"failed: cdpm, seed 0 ( cdpm/{cdpm.key} ) ValueError: the loss is <b>not</b> finite" in text
    assert "2 cells wait for it ddb_two_step, w = 0, seed 0 ddb_two_step, w = 1, seed 0" in text
    assert "<b>" not in page and "0/2 seeds, 1 failed, 1 missing" in text


def test_without_bias_labels_nothing_is_claimed_of_them(tmp_path, store):
    graph = own_images(tmp_path, "pets", "erm")
    complete(graph, store, dataset(bias_labels=False))
    text = Reader(render_report(graph, store)).text
    assert "The bias of this data set is not labelled, so the quality of a signal cannot be measured." in text
    assert text.startswith("pets: 2 of 2 cells") and f"files {tmp_path / 'pets'}" in text
    assert "the bias is not labelled" in text and "real, aligned" not in text
    assert "score 7.50 train/2.png" in text and "conflicting train/" not in text and "break the bias" not in text
    assert "group, percent" not in text and "hand: val: held out" not in text


def test_names_inject_nothing(tmp_path, store):
    page = render_report(hostile(tmp_path, store), store, EVIL)
    read = Reader(page)
    assert [tag for tag, _ in read.elements].count("script") == 1 == page.lower().count("<script")
    assert not [name for _, values in read.elements for name in values if name.startswith("on")]
    path = f"{tmp_path}/{EVIL}"
    for words in (f"files {path}", f"to make it again {EVIL}", f"{EVIL} 50.00", f"{EVIL} , taken for dog score 7.50"):
        assert words in read.text, words
    assert f"{EVIL}/2.png" in read.text and "failed: ddb_two_step, w = 1, seed 0 ( target/" in read.text
    assert f"failed: {EVIL}" in read.text  # the last line of the error, in the table of stages
    assert any(values.get("alt") == f"Training image {EVIL}/2.png of class {EVIL}" for _, values in read.elements)


def test_only_the_pages_own_script_may_run_and_nothing_is_fetched(store):
    page = render_report(make_plan(), store)
    policy = next(v["content"] for _, v in Reader(page).elements if v.get("http-equiv") == "Content-Security-Policy")
    [script] = Reader(page).scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy and policy.startswith("default-src 'none';")
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:|#)", page)
    assert "<link" not in page and "@import" not in page and "url(http" not in page


def test_a_name_that_is_not_utf_8_can_be_written(tmp_path, store):
    graph = make_plan("seeds=[0]")
    complete(graph, store, dataset(paths=[f"caf\\udce9/{i}.png" for i in range(6)]))
    store.fail(graph.cells[0].stage, "caf\udce9")
    page = render_report(make_plan("seeds=[1]"), store, "ddb run caf\udce9.yaml")
    assert "ddb run caf\\udce9.yaml" in page
    (tmp_path / "page.html").write_text(page, encoding="utf-8")


def test_cells_are_sorted_by_their_number_and_unknown_ones_last():
    cells = ["86.0 ± 7.1 (2)", "+1.5", "-0.3", "1e-05", "–", "2/3 seeds", "last", "100.0 (1)"]
    assert [_sort_value(cell) for cell in cells] == ["86.0", "+1.5", "-0.3", "1e-05", "", "2/3 seeds", "last", "100.0"]


def test_a_sprite_has_its_images_in_order_and_gaps_that_show_the_page():
    images = np.stack([np.full((32, 32, 3), value, np.uint8) for value in (10, 20)])
    sprite = _sprite(images, 3)
    assert sprite.shape == (32, 3 * 34, 4)
    assert (sprite[:, :32] == (10, 10, 10, 255)).all() and (sprite[:, 34:66] == (20, 20, 20, 255)).all()
    assert (sprite[:, 32:34, 3] == 0).all() and (sprite[:, 66:, 3] == 0).all()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def written(tmp_path, page):
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
LOADED = "[...document.images].map(image => image.complete && image.naturalWidth > 0)"


@needs_browser
@pytest.mark.parametrize("width", [360, 703, 1280])  # a phone, paper, a desk
def test_a_browser_shows_every_picture_without_scrolling_sideways(tmp_path, store, browser, width):
    graph = hostile(tmp_path, store, LONG)
    path = written(tmp_path, render_report(graph, store, f"ddb run {LONG}"))
    browser.open(path, width=width, media="print" if width == 703 else "screen")
    browser.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.run(OVERFLOW) == 0 and browser.run("window.innerWidth") == width
    loaded = browser.run(LOADED)
    assert len(loaded) == 2 * 2 + 6 and all(loaded)  # real and synthetic, two classes each; the list
    assert browser.console == []


@needs_browser
def test_a_browser_runs_nothing_that_a_name_brings_in(tmp_path, store, browser):
    browser.open(written(tmp_path, render_report(hostile(tmp_path, store), store, EVIL)))
    assert browser.console == []  # where a refusal by the page's policy would be told
    assert browser.run("document.scripts.length") == 1 and EVIL in browser.run("document.body.innerText")


@needs_browser
def test_a_column_sorts_by_number_and_by_keyboard_with_unknown_values_last(tmp_path, store, browser):
    graph = make_plan("seeds=[0]", vary={"sampling.guidance": [0, 1, 2, 3]})
    values = {"erm": [0.5], "ddb_two_step": [0.095, None, 1.0, 0.86]}
    for cell in graph.cells:
        value = values[cell.method][int(cell.guidance or 0)]
        if value is not None:
            finish(store, cell.stage, metrics={"average_accuracy": value})
    browser.open(written(tmp_path, render_report(graph, store)))
    column = "document.querySelector('.results thead tr').cells[2]"
    cells = "[...document.querySelectorAll('.results > tbody > tr:first-child')].map(row => row.cells[2].innerText)"
    assert browser.run(f"{column}.innerText") == "average"
    original = ["50.0 (1)", "9.5 (1)", "–", "100.0 (1)", "86.0 (1)"]
    assert browser.run(cells) == original
    ascending = ["9.5 (1)", "50.0 (1)", "86.0 (1)", "100.0 (1)", "–"]
    for order, expected in (("ascending", ascending), ("descending", [*ascending[-2::-1], "–"]), (None, original)):
        browser.click(".results thead th:nth-child(3) button")
        assert (browser.run(f"{column}.getAttribute('aria-sort')"), browser.run(cells)) == (order, expected)
    browser.run(f"{column}.querySelector('button').focus()")
    browser.press("Enter", 13)
    assert (browser.run(f"{column}.getAttribute('aria-sort')"), browser.run(cells)) == ("ascending", ascending)
    browser.click(".results thead th:first-child button")  # text, and only one column at a time
    names = "[...document.querySelectorAll('.results > tbody > tr:first-child')].map(row => row.cells[0].innerText)"
    assert browser.run(names) == ["ddb_two_step"] * 4 + ["erm"]
    assert browser.run("document.querySelectorAll('.results [aria-sort]').length") == 1


@needs_browser
def test_a_row_unfolds_where_it_stands_and_leads_to_its_stages(tmp_path, store, browser):
    graph = make_plan("seeds=[0]")
    complete(graph, store)
    browser.open(written(tmp_path, render_report(graph, store)))
    heights = "[...document.querySelectorAll('.results > tbody > .more')].map(row => row.offsetHeight > 0)"
    assert browser.run(heights) == [False, False]
    browser.click(".results > tbody:nth-of-type(2) summary")
    assert browser.run(heights) == [False, True]
    browser.click(".results thead button")  # the row takes along what it has unfolded
    assert browser.run(heights) == [True, False]
    shown = (
        f"document.getElementById('stage-{graph.cells[1].stage.key}').checkVisibility({{contentVisibilityAuto: true}})"
    )
    assert browser.run("document.querySelector('.stages').closest('details').open") is False
    browser.click(f"a[href='#stage-{graph.cells[1].stage.key}']")
    assert browser.run("document.querySelector('.stages').closest('details').open") is True and browser.run(shown)
