"""What the report says of cells and stages: states, errors, origins, and a configuration that gives the same again."""

import pytest
import yaml

from ddb.artifacts import Store
from ddb.config_file import CONFIGS, load, resolve
from ddb.experiment import plan
from ddb.report.report_data import gather
from tests.ddb.report.hand_made import COMMIT, complete, make_plan

VARY = {"vary": {"sampling.guidance": [0, 1]}}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


def test_every_number_has_its_seed_and_its_origin(store):
    graph = make_plan(**VARY)
    complete(graph, store)
    report = gather(graph, store)
    assert [(e.row.method, e.row.guidance) for e in report.rows] == [
        ("erm", None),
        ("ddb_two_step", 0),
        ("ddb_two_step", 1),
    ]
    last = report.rows[-1]
    assert [result.cell.seed for result in last.results] == [0, 1]
    assert [result.metrics["average_accuracy"] for result in last.results] == pytest.approx([0.81, 0.91])
    assert last.groups == ["cat/aligned", "cat/conflicting"]
    facts = last.results[0].facts
    assert facts.commit == f"{COMMIT}, with uncommitted changes" and facts.machine == "host-a, cpu (2 cores)"
    assert facts.state == "finished" and facts.record["seconds"] == 5
    [(configuration, seeds)] = last.configurations
    assert seeds == [0, 1] and '"method": "ddb_two_step"' in configuration and '"seed"' not in configuration
    assert report.cells("finished") == 6 and report.cells("missing", "failed", "blocked") == 0


def test_a_failed_stage_names_its_last_line_and_the_cells_that_wait(store):
    graph = make_plan(**VARY)
    cdpm = next(stage for stage in graph.stages() if stage.name == "cdpm" and stage.config["seed"] == 1)
    target = next(cell.stage for cell in graph.cells if cell.method == "erm" and cell.seed == 0)
    store.fail(cdpm, "Traceback\n  line 1\nValueError: the loss is not finite\n")
    store.fail(target, "")
    report = gather(graph, store)
    found = {failure.facts.title: failure for failure in report.failures}
    assert set(found) == {"cdpm, seed 1", "erm, seed 0"}
    assert found["cdpm, seed 1"].facts.error == "ValueError: the loss is not finite"
    assert found["cdpm, seed 1"].cells == ["ddb_two_step, w = 0, seed 1", "ddb_two_step, w = 1, seed 1"]
    assert found["erm, seed 0"].facts.error == "no message"
    assert [report.cells(state) for state in ("finished", "failed", "blocked", "missing")] == [0, 1, 2, 3]


def test_stages_are_told_apart_by_what_varies(store):
    vary = {"sampling.guidance": [1], "dataset.conflict_ratio": [0.1, 0.2]}
    graph = make_plan("seeds=[0]", vary=vary, memorisation=True)
    titles = [facts.title for facts in gather(graph, store).stages.values()]
    assert {
        "data, conflict ratio 0.1, colored_digits",
        "cdpm, conflict ratio 0.2, seed 0",
        "synthetic, w = 1, conflict ratio 0.1, seed 0",
        "alignment, w = 1, conflict ratio 0.2, seed 0",
        "amplifier, w = 1, conflict ratio 0.1, seed 0",
        "amplifier, on real images, conflict ratio 0.1, seed 0",
        "erm, conflict ratio 0.2, seed 0",
    } <= set(titles)


def test_what_varies_is_told_with_its_values(store):
    report = gather(make_plan(**VARY), store)
    assert report.varied == {"guidance w (scale 1 + w)": ["0", "1"]}
    assert (report.datasets, report.methods, report.seeds) == (["colored_digits"], ["erm", "ddb_two_step"], [0, 1])


def test_provenance_counts_and_spans_all_stages(store):
    graph = make_plan("seeds=[0]")
    complete(graph, store)
    provenance = gather(graph, store).provenance
    # data, CDPM, images, amplifier, probe, alignment; two targets, computed beside changes
    assert provenance.commits == {COMMIT: 6, f"{COMMIT}, with uncommitted changes": 2}
    assert provenance.machines == {"host-a, cpu (2 cores)": 8}
    assert provenance.packages == {"python": "3.11.7", "torch": "2.9.0"}
    assert provenance.period == ("2026-01-02T03:03:55+00:00", "2026-01-02T03:04:05+00:00")  # the longest took 10 s


@pytest.mark.parametrize(
    "name",
    ["colored_digits", "ablations/guidance", "ablations/sampler", "ablations/recipe_variants", "benchmarks/bar_small"],
)
def test_the_configuration_gives_the_same_experiment_again(name, store):
    graph = plan(load(CONFIGS / f"{name}.yaml", ["seeds=[0]"]))
    [(title, text)] = gather(graph, store).provenance.configurations
    again = plan(resolve(yaml.safe_load(text)))
    assert title == ""
    assert [(c.method, c.stage.key) for c in again.cells] == [(c.method, c.stage.key) for c in graph.cells]
    assert {stage.key for stage in again.stages()} == {stage.key for stage in graph.stages()}


def test_each_data_set_of_several_has_a_configuration_of_its_own(store):
    vary = {"vary": {"base": ["colored_digits", "bar_small"], "sampling.guidance": [0, 1]}}
    graph = plan(resolve({"methods": {"erm": {}, "ddb_two_step": {}}, "seeds": [0], **vary}))
    found = gather(graph, store).provenance.configurations
    assert [title for title, _ in found] == ["colored_digits", "bar_small"]
    again = [cell.stage.key for _, text in found for cell in plan(resolve(yaml.safe_load(text))).cells]
    assert sorted(again) == sorted(cell.stage.key for cell in graph.cells)
