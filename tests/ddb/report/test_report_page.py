"""The report's page: numbers and their origin by hand, missing results, and names that inject nothing; in a browser it
sorts, unfolds, shows every picture and never scrolls sideways."""

import re

import numpy as np
import pytest
from PIL import Image

from ddb.report.report_page import render_report
from tests.ddb.report.browser import PICTURES, Reader, look, needs_browser, policy_of
from tests.ddb.report.hand_made import COMMIT, GUIDED, complete, dataset, finish, make_plan, metrics

EVIL = '"><script>alert(1)</script>' + "averylongname" * 8


def text_of(graph, store, command=None):
    return Reader(render_report(graph, store, command)).text


def own_images(tmp_path, name, label):
    """The graph of a folder of images at a path and with a method label that are `name` and `label`."""
    root = tmp_path / name
    for each in ("cat", "dog"):
        (root / each).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(root / each / f"{i}.png")
    methods = {label: {"method": "erm"}, "ddb_two_step": {}}
    return make_plan("seeds=[0]", dataset={"name": "folder", "root": str(root), "image_size": 16}, methods=methods)


@pytest.fixture
def hostile(tmp_path, store):
    """A finished graph of which everything that a person can name is called EVIL."""
    graph = own_images(tmp_path, EVIL, EVIL)
    paths = [f"{EVIL}/{i}.png" for i in range(6)]
    complete(
        graph,
        store,
        dataset((EVIL, "dog"), bias_labels=False, paths=paths),
        skip=("classifier", "evaluation"),
    )
    finish(store, graph.cells[0].classifier)
    finish(store, graph.cells[0].stage, metrics=metrics(graph.cells[0], False) | {"group_accuracy": {EVIL: 0.5}})
    store.fail(graph.cells[1].classifier, f"Traceback\n{EVIL}")
    return render_report(graph, store, EVIL)


def test_everything_that_is_finished_is_shown(store):
    graph = make_plan(**GUIDED)
    complete(graph, store)
    text = text_of(graph, store)
    assert "6 of 6 cells finished." in text and "guidance w (scale 1 + w) varies: 0 , 1" in text
    assert "ddb_two_step 1 86.0 ± 7.1 (2) 86.0 ± 7.1 (2) 100.0 ± 0.0 (2) 43.0 ± 3.5 (2)" in text
    rows = "percent seed 0 seed 1 average 81.00 91.00 conflicting 81.00 91.00 aligned 100.00 100.00"
    assert f"{rows} worst group 40.50 45.50" in text
    assert "group, percent seed 0 seed 1 cat/aligned 100.00 100.00 cat/conflicting 40.50 45.50" in text
    assert "1 95.0 ± 0.0 (2) 100.0 ± 0.0 (2) 100.0 ± 0.0 (2) 50.0 ± 0.0 (2) 75.0 ± 0.0 (2)" in text  # signals
    assert "w = 1 scale 2, 95.0% aligned" in text and "draws with seed 0" in text
    assert "6 of 6 training images" in text and "2 of all break the bias, and 2 of those shown" in text
    assert "cat , taken for dog score 7.50 truly conflicting train/2.png" in text
    assert "dog , recognised as dog score 4.00 not conflicting train/4.png" in text
    numbers = text.partition("Whiskers")[0].rpartition("Charts")[2] + text.rpartition("Charts")[2]
    assert "ddb_two_step, guidance 1 86.0 ± 7.1 (2) 100.0 ± 0.0 (2)" in numbers
    assert "guidance w (scale 1 + w) erm ddb_two_step" in numbers and "1 – 86.0 ± 7.1 (2)" in numbers
    assert "synthetic 4 32.0 s 8.0 s" in text and "classifier 6 24.0 s 4.0 s evaluation 6 6.0 s 1.0 s" in text
    # ERM 2 x (1 + 5) and DDB 4 x (1 + 10 + 8 + 3 + 4 + 1); shared 1 + 2 x 10 + 4 x 8 + 4 x 3 + 6 x 5
    assert "rest on stages that took 1 min 35 s" in text and "2 min 00 s , 1.3 times as long" in text


def test_every_number_has_its_origin(store):
    graph = make_plan("seeds=[0]")
    complete(graph, store)
    page = render_report(graph, store, "ddb run mine.yaml seeds=[0]")
    read, trained = Reader(page), graph.cells[1].classifier
    needed = f"data/{trained.inputs['data'].key} , amplifier/{trained.inputs['amplifier'].key}"
    origin = f"4.0 s 2026-01-02 03:04:05 UTC host-a, cpu (2 cores) {COMMIT}"
    assert f"0 classifier/{trained.key} finished {needed} {origin}" in read.text
    configuration = read.text.partition("Configuration of the classifier, seed 0")[2].partition("Configuration")[0]
    assert '"batch_size": 64' in configuration and '"seed"' not in configuration
    assert "to make it again ddb run mine.yaml seeds=[0]" in read.text
    # The longest stage took 10 s. Data, CDPM, images, amplifier, probe, alignment and two classifiers; two evaluations.
    assert "computed 2026-01-02 03:03:55 UTC to 2026-01-02 03:04:05 UTC" in read.text
    assert f"commits {COMMIT} (8 stages) {COMMIT}, with uncommitted changes (2 stages)" in read.text
    assert "machines host-a, cpu (2 cores) packages python 3.11.7, torch 2.9.0" in read.text
    ids = [values["id"] for _, values in read.elements if "id" in values]
    assert len(ids) == len(set(ids))
    assert {values["href"][1:] for tag, values in read.elements if tag == "a"} <= set(ids)
    assert {f"stage-{stage.key}" for stage in graph.stages()} <= set(ids)


def test_signals_without_synthetic_images_have_a_list_and_no_word_about_them(store):
    graph = make_plan("seeds=[0]", amplifier={"source": "lda"}, memorisation=False)
    complete(graph, store)
    text = text_of(graph, store)
    shown = text.rpartition("Most conflicting images")[2]
    assert "with the highest loss of one source of signals" in shown and "Source: lda, seed 0" in shown
    assert "score 7.50 truly conflicting train/2.png" in shown
    assert "No synthetic set" not in text and "w = 1" not in shown.partition("Costs")[0]


def test_missing_results_are_named(store):
    graph = make_plan(**GUIDED)
    text = text_of(graph, store)
    for words in (
        "0 of 6 cells finished, 6 missing.",
        "0/2 seeds, 2 missing",
        "no seed is finished",
        "No signals are measured yet.",
        "The data set is not prepared yet.",
        "There are no numbers for a chart yet.",
        "No source of signals is finished yet.",
        "classifier 0 of 6",
        "computed nothing yet",
        "with the configuration below in experiment.yaml",
    ):
        assert words in text, words
    complete(graph, store, skip=("alignment", "classifier", "evaluation"))
    finish(store, graph.cells[0].classifier)
    finish(store, graph.cells[0].stage, metrics=metrics(graph.cells[0]))
    text = text_of(graph, store)
    assert "1 of 6 cells finished, 5 missing." in text and "1/2 seeds, 1 missing" in text
    assert "average 50.00 –" in text and "The finished cell rests on" in text


def test_failures_have_their_last_line_and_the_cells_that_wait(store):
    graph = make_plan(**GUIDED)
    cdpm = next(stage for stage in graph.stages() if stage.name == "cdpm")
    target = next(cell.classifier for cell in graph.cells if cell.method == "erm" and cell.seed == 1)
    store.fail(cdpm, "Traceback\n  line 1\nValueError: the loss is <b>not</b> finite\n")
    store.fail(target, "")
    page = render_report(graph, store)
    text = Reader(page).text
    assert "0 of 6 cells finished, 3 failed or blocked by a failed stage, 3 missing." in text
    assert f"failed: cdpm seed 0 ( cdpm/{cdpm.key} ) ValueError: the loss is <b>not</b> finite" in text
    assert "2 cells wait for it classifier ddb_two_step w=0 seed 0 classifier ddb_two_step w=1 seed 0" in text
    assert f"failed: classifier erm seed 1 ( classifier/{target.key} ) no message" in text
    assert "<b>" not in page and "0/2 seeds, 1 failed, 1 missing" in text


def test_without_bias_labels_the_page_claims_nothing_about_the_bias(tmp_path, store):
    graph = own_images(tmp_path, "pets", "erm")
    complete(graph, store, dataset(bias_labels=False))
    text = text_of(graph, store)
    assert "The bias of this data set is not labelled, so the quality of a signal cannot be measured." in text
    assert text.startswith("pets: 2 of 2 cells") and f"files {tmp_path / 'pets'}" in text
    assert "the bias is not labelled" in text and "real, aligned" not in text
    assert "score 7.50 train/2.png" in text and "conflicting train/" not in text and "break the bias" not in text
    assert "group, percent" not in text and "hand: val: held out" not in text


def test_names_inject_nothing(tmp_path, hostile):
    read = Reader(hostile)
    assert [tag for tag, _ in read.elements].count("script") == 1 == hostile.lower().count("<script")
    assert not [name for _, values in read.elements for name in values if name.startswith("on")]
    path = f"{tmp_path}/{EVIL}"
    for words in (f"files {path}", f"to make it again {EVIL}", f"{EVIL} 50.00", f"{EVIL} , taken for dog score 7.50"):
        assert words in read.text, words
    assert f"{EVIL}/2.png" in read.text and "failed: classifier ddb_two_step w=1 seed 0 ( classifier/" in read.text
    assert f"failed: {EVIL}" in read.text  # the last line of the error, in the table of stages
    assert any(values.get("alt") == f"Training image {EVIL}/2.png of class {EVIL}" for _, values in read.elements)


def test_only_the_pages_own_script_may_run_and_nothing_is_fetched(store):
    policy = policy_of(render_report(make_plan(), store))
    assert policy.startswith("default-src 'none';")
    assert re.findall(r"script-src ('sha256-[^ ;]+');", policy)  # of the sorting script, which a browser runs below


@needs_browser
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_shows_every_picture_without_scrolling_sideways(tmp_path, hostile, width):
    loaded, overflow, _ = look(hostile, PICTURES, tmp_path, width)
    assert loaded == [True] * (2 * 2 + 6 + 1)  # real and synthetic, two classes each; the list; the accuracies
    assert overflow == 0


@needs_browser
def test_a_column_sorts_with_unknown_values_last_and_a_row_unfolds_in_place(tmp_path, store):
    graph = make_plan("seeds=[0]", vary={"sampling.guidance": [0, 1, 2, 3]})
    values = {"erm": [0.5], "ddb_two_step": [0.095, None, 1.0, 0.86]}
    for cell in graph.cells:
        value = values[cell.method][int(cell.guidance or 0)]
        if value is not None:
            finish(store, cell.classifier)
            finish(store, cell.stage, metrics={"average_accuracy": value})
    script = """
        const rows = (kind, value) => [...document.querySelectorAll(".results > tbody > " + kind)].map(value);
        const column = (i) => rows("tr:first-child", (row) => row.cells[i].innerText);
        const open = () => rows(".more", (row) => row.offsetHeight > 0);
        const heads = [...document.querySelector(".results thead tr").cells];
        const stages = document.querySelector(".stages").closest("details");
        const found = [heads[2].innerText, column(2)];
        for (const _ of [1, 2, 3]) {
          heads[2].querySelector("button").click();
          found.push([heads[2].getAttribute("aria-sort"), column(2)]);
        }
        document.querySelector(".results > tbody summary").click();
        found.push(open());
        heads[0].querySelector("button").click();
        found.push(column(0), open(), document.querySelectorAll(".results [aria-sort]").length, stages.open);
        document.querySelector("a[href='#stage-KEY']").click();
        await new Promise((done) => setTimeout(done, 1000));
        return [...found, stages.open, document.getElementById("stage-KEY").offsetHeight > 0];"""
    page = render_report(graph, store)
    original = ["50.0 (1)", "9.5 (1)", "–", "100.0 (1)", "86.0 (1)"]
    ascending = ["9.5 (1)", "50.0 (1)", "86.0 (1)", "100.0 (1)", "–"]
    assert look(page, script.replace("KEY", graph.cells[0].classifier.key), tmp_path) == [
        "average",
        original,
        ["ascending", ascending],
        ["descending", [*ascending[-2::-1], "–"]],
        [None, original],
        [True, False, False, False, False],  # the row of ERM, which sorting by name makes the last
        ["ddb_two_step"] * 4 + ["erm"],
        [False, False, False, False, True],
        1,  # one column at a time
        *(False, True, True),  # the link to a stage opens the table of stages
    ]
