"""A folder of images without bias labels through the whole graph on a real local Ray, classifiers reading the files."""

import json

import numpy as np
import pytest
from PIL import Image

from ddb.errors import DDBError
from ddb.experiment.config_file import resolve
from ddb.experiment.graph import build_graph
from ddb.experiment.results import Results
from ddb.report import rows
from ddb.store import Store
from ray_jobs.job import execute
from tests.ray_jobs.conftest import SMALL, compute

pytestmark = [pytest.mark.cluster, pytest.mark.long]


@pytest.fixture
def values(tmp_path, monkeypatch):
    monkeypatch.setenv("DDB_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(20):
            image = Image.fromarray(random.integers(0, 256, (20, 24, 3), dtype=np.uint8))
            image.save(tmp_path / f"images/{name}/{i}.png")
    return SMALL | {
        "dataset": {"name": "folder", "root": str(tmp_path / "images"), "image_size": 8},
        "training": {"steps": 4, "batch_size": 8, "image_size": 16, "augment": True},
        "methods": {"erm": {}, "ddb_two_step": {}},
        "resources": {**SMALL["resources"], "cpus_per_run": 2, "sampling_actors": 1},
    }


def test_what_is_not_known_is_absent_from_stages_metrics_and_table(values, tmp_path, capacity):
    graph, store = build_graph(resolve(values)), Store(tmp_path / "runs")
    assert not {"probe", "alignment"} & {stage.name for stage in graph.stages()}
    outcome = compute(graph, store, capacity)
    assert not outcome.failed, outcome.failed
    for cell in graph.cells:
        metrics = json.loads((store.path(cell.stage) / "metrics.json").read_text())
        assert list(metrics) == ["average_accuracy"]
        assert json.loads((store.path(cell.classifier) / "classifier.json").read_text())["image_size"] == 16
    row = rows(Results(graph, store))[0]
    assert list(row.metrics) == ["average_accuracy"] and "held out by us" in row.notes[0]


def test_a_changed_image_is_another_data_set(values, tmp_path):
    before = build_graph(resolve(values)).data.key
    assert build_graph(resolve(values)).data.key == before
    Image.new("RGB", (20, 24)).save(tmp_path / "images/cat/0.png")
    assert build_graph(resolve(values)).data.key != before


def test_a_broken_image_is_told_before_anything_is_trained(values, tmp_path, capacity):
    (tmp_path / "images/cat/0.png").write_bytes(b"")
    graph, store = build_graph(resolve(values)), Store(tmp_path / "runs")
    outcome = compute(graph, store, capacity)
    assert not outcome.computed and "cat/0.png: an empty file" in store.failure(graph.data)


def test_absent_data_is_told_before_a_ray_is_started(values, tmp_path):
    values["dataset"]["root"] = str(tmp_path / "nowhere")
    graph = build_graph(resolve(values))
    with pytest.raises(DDBError, match=f"not found at {tmp_path}/nowhere"):
        execute(graph, Store(tmp_path / "runs"), "mine")
