"""Cost estimates: probe times, as told here, multiplied as worked by hand."""

import pytest

from ddb.data import DataMissing
from ddb.experiment import cost
from ddb.experiment.config_file import load, resolve
from ddb.experiment.graph import build_graph
from ddb.stages.speed import Speed


@pytest.fixture
def told(monkeypatch):
    """Probe results instead of measurements: 2 s to train and 1 s to run the UNet, 0.5 s and 0.1 s a classifier."""
    monkeypatch.setattr(Speed, "unet", lambda self, settings: (2.0, 1.0))
    monkeypatch.setattr(Speed, "classifier", lambda self, settings: (0.5, 0.1))


def test_costs_by_hand(told):
    """Colored Digits: 1,300 training and 2,000 validation images, ten classes."""
    values = {
        "cdpm": {"steps": 10, "batch_size": 4},
        "sampling": {"images_per_class": 3, "sampler_steps": 8, "guidance": 1},
        "amplifier": {"steps": 20, "batch_size": 10, "evaluate_every": 10},
        "training": {"steps": 30, "batch_size": 10, "evaluate_every": 15},
    }
    graph = build_graph(resolve(values | {"methods": {"ddb_two_step": {}}, "memorisation": False, "seeds": [0, 1]}))
    found = {each.name: each for each in cost.estimate(graph, graph.stages())}
    assert list(found) == ["cdpm", "synthetic", "amplifier", "classifier"]
    assert all(each.stages == 2 for each in found.values())
    assert found["cdpm"].unit_seconds == 8 and found["cdpm"].seconds == 2 * 80
    assert found["synthetic"].unit_seconds == 16 and found["synthetic"].seconds == 2 * 480  # two passes a step
    assert found["amplifier"].unit_seconds == 0.5 * 30
    assert found["amplifier"].seconds == pytest.approx(2 * (0.5 * 200 + 0.1 * 2 * 1300))
    assert found["classifier"].unit_seconds == 0.5 * 1300
    assert found["classifier"].seconds == pytest.approx(2 * (0.5 * 300 + 0.1 * 2 * 2000))


def test_a_method_costs_as_much_as_it_trains(told):
    """Without looks at validation images: erm 10 steps of 4 images, jtt 3 more, lff and the joint recipe twice."""
    few = {"steps": 10, "batch_size": 4, "evaluate_every": 10}
    rows = {"erm": {}, "jtt": {"identification_steps": 3}, "lff": {}, "ddb_end_to_end_joint": {}}
    sampling = {"guidance": 0, "sampler_steps": 8}
    graph = build_graph(resolve({"training": few, "methods": rows, "sampling": sampling, "memorisation": False}))
    seconds = [cost.estimate(graph, [cell.classifier])[0].seconds - 0.1 * 2000 for cell in graph.cells]
    assert seconds == pytest.approx([0.5 * 40, 0.5 * 52, 0.5 * 80, 0.5 * 80])
    drawn = cost.estimate(graph, [each.stage for each in graph.synthetic.values()])
    assert [each.unit_seconds for each in drawn] == [8]  # one pass a step, as there is no guidance


def test_absent_benchmarks_are_estimated_from_their_published_size(told, monkeypatch, tmp_path):
    monkeypatch.setenv("DDB_DATA", str(tmp_path))
    graph = build_graph(load("configs/benchmarks/urbancars.yaml"))
    assert all("not found" in reason for reason in graph.missing_data.values()) and graph.missing_data
    found = {each.name: each for each in cost.estimate(graph, graph.stages())}
    assert found["classifier"].unit_seconds == 0.5 * 8000


def test_an_absent_folder_has_no_size(told, tmp_path):
    values = {"dataset": {"name": "align_conflict", "root": str(tmp_path / "nowhere")}, "methods": {"erm": {}}}
    with pytest.raises(DataMissing, match="nowhere"):
        cost.estimate(build_graph(resolve(values)), [])


def test_the_probe_measures_real_networks():
    graph = build_graph(resolve({"methods": {"ddb_two_step": {}}, "memorisation": False}))
    found = cost.estimate(graph, graph.stages())
    assert all(0 < each.unit_seconds < each.seconds for each in found)
