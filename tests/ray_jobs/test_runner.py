"""The whole graph on a real local Ray: what is reused, what a failure stops, what a kill costs."""

import contextlib
import json
import os
import threading
import time

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import ray
import torch

from ddb.diffusion import synthetic
from ddb.errors import DDBError
from ddb.stages import KINDS
from ddb.stages.needs import Capacity, Demand
from ddb.store import Store
from ray_jobs.runner import demand_now
from tests.ray_jobs.conftest import compute, small_graph, stage_of, weights

pytestmark = pytest.mark.cluster


def demand(stage, capacity, resources):
    return KINDS[stage.name].demand(stage, capacity, resources)


def test_every_stage_is_an_artifact_with_its_record(finished):
    graph, store = finished
    for stage in graph.stages():
        record = store.record(stage)
        assert record["key"] == stage.key and record["seconds"] > 0 and record["packages"]["torch"]
    assert not list((store.root / ".work").glob("*/*"))
    assert (store.path(stage_of(graph, "cdpm")) / "tensorboard").is_dir()
    metrics = json.loads((store.path(graph.cells[0].stage) / "metrics.json").read_text())
    assert 0 <= metrics["worst_group_accuracy"] <= metrics["average_accuracy"] <= 1


def test_a_local_run_is_on_loopback_whatever_interface_a_profile_names(finished):
    assert ray.get(ray.remote(os.getenv).remote("GLOO_SOCKET_IFNAME")) == "lo"


def test_the_same_command_finds_everything_done(finished, capacity):
    graph, store = finished
    outcome = compute(graph, store, capacity)
    assert len(outcome.cached) == len(graph.stages()) and not outcome.computed


def test_batch_and_actors_do_not_change_the_images(finished, tmp_path, capacity):
    """Batch 16 on two actors against batch 7 on one: the same rows, images to one grey level of 256."""
    graph, first = finished
    stage = stage_of(graph, "synthetic")
    second = Store(tmp_path)
    for shared in (graph.data, stage.inputs["cdpm"]):
        second.path(shared).parent.mkdir()
        second.path(shared).symlink_to(first.path(shared))
    other = small_graph(resources={"sampling_batch": 7, "sampling_actors": 1})
    assert not compute(other, second, capacity, "synthetic").failed
    tables = [pq.read_table(store.path(stage) / "images.parquet") for store in (first, second)]
    rows = [list(zip(t["label"].to_pylist(), t["index"].to_pylist(), strict=True)) for t in tables]
    assert rows[0] == rows[1] == [(label, index) for label in range(10) for index in range(3)]
    images = [synthetic.read(store.path(stage)).images.astype(int) for store in (first, second)]
    assert np.abs(images[0] - images[1]).max() <= 1


def test_a_failed_cell_is_recorded_and_stops_no_other(finished, capacity):
    _, store = finished
    broken = {"method": "erm", "learning_rate": 1e30, "optimizer": "sgd"}
    graph = small_graph(methods={"ddb_two_step": {}, "broken": broken, "erm": {"steps": 5}})
    outcome = compute(graph, store, capacity)
    failed = next(cell for cell in graph.cells if cell.method == "broken")
    assert list(outcome.failed) == [failed.classifier.key, failed.stage.key]
    assert "lower learning_rate" in store.failure(failed.classifier)
    assert all(store.has(stage) for stage in graph.stages() if stage.key not in outcome.failed)


@pytest.mark.long
def test_a_diverging_cdpm_names_the_setting_and_blocks_only_what_needs_it(finished, capacity):
    _, store = finished
    graph = small_graph(cdpm={"learning_rate": 1e30, "warmup_steps": 0})
    outcome = compute(graph, store, capacity)
    cdpm = stage_of(graph, "cdpm")
    assert "cdpm.learning_rate" in outcome.failed[cdpm.key][1]
    assert store.has(graph.cells[0].stage)  # erm needs no CDPM


def test_a_killed_worker_resumes_to_the_same_weights_bit_for_bit(finished, tmp_path, capacity):
    graph, whole = finished
    stage, killed, stores = stage_of(graph, "cdpm"), [], []
    while not killed:  # on a busy machine, training may end before the watcher looks
        stores.append(Store(tmp_path / str(len(stores))))
        watcher = threading.Thread(target=_kill_worker, args=(stores[-1], stage, killed), daemon=True)
        watcher.start()
        outcome = compute(graph, stores[-1], capacity, "cdpm")
        watcher.join()
        assert not outcome.failed, outcome.failed
    assert torch.equal(weights(whole, stage), weights(stores[-1], stage))


def _kill_worker(store, stage, killed):
    """SIGKILL the training worker once a checkpoint exists and training has continued after it."""
    while not store.has(stage):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            losses = store.work_path(stage) / "resume" / "losses.jsonl"
            if '"step": 20,' in losses.read_text():  # the first checkpoint: step 16
                for process in psutil.Process().children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        if "RayTrainWorker" in " ".join(process.cmdline()):
                            process.kill()
                            killed.append(process.pid)
                return
        time.sleep(0.02)


@pytest.mark.parametrize("setting", ["cdpm_workers", "sampling_actors"])
def test_more_workers_than_resources_is_refused_by_name(setting):
    graph = small_graph(resources={setting: 3}, cdpm={"batch_size": 12})
    stage = stage_of(graph, "cdpm" if setting == "cdpm_workers" else "synthetic")
    with pytest.raises(DDBError, match=rf"resources\.{setting}: 3 asked for, but there are 2 CPUs"):
        demand(stage, Capacity(((2, 0),)), graph.config.resources)


@pytest.mark.parametrize(
    ("name", "node", "expected"),
    [
        ("cdpm", (8, 4), Demand(4, 1, 1)),
        ("cdpm", (8, 3), Demand(2, 1, 1)),  # two workers share a batch of 8, three could not
        ("synthetic", (3, 0), Demand(3, 1, 0)),
    ],
)
def test_after_a_loss_a_stage_goes_on_with_the_most_workers_that_fit(name, node, expected):
    graph = small_graph(resources={"cdpm_workers": 4, "sampling_actors": 4}, cdpm={"batch_size": 8})
    assert demand_now(stage_of(graph, name), Capacity((node,)), graph.config.resources) == expected


def test_a_stage_waits_for_a_node_where_that_is_the_setting():
    graph = small_graph(resources={"cdpm_workers": 4, "sampling_actors": 4, "cpus_per_run": 4, "lost_node": "wait"})
    for stage in (stage_of(graph, "cdpm"), stage_of(graph, "synthetic"), graph.cells[0].stage):
        assert demand_now(stage, Capacity(((3, 0),)), graph.config.resources) is None


@pytest.mark.parametrize(("name", "setting"), [("cdpm", "cdpm_workers"), ("classifier", "cpus_per_run")])
def test_what_cannot_do_with_less_fails_with_the_reason(name, setting):
    graph = small_graph(resources={setting: 4}, cdpm={"zero_stage": 2})
    with pytest.raises(DDBError, match=rf"resources\.{setting}.*4 asked for"):
        demand_now(stage_of(graph, name), Capacity(((3, 0),)), graph.config.resources)


@pytest.mark.parametrize(("workers", "cpus"), [(1, 4), (2, 2), (3, 2), (4, 1), (6, 1)])
def test_a_worker_never_asks_for_more_than_a_node_has(workers, cpus):
    """Nodes of 4 and 2 CPUs: one worker takes the larger node, two or three get 2 each, more get 1."""
    graph = small_graph(resources={"cdpm_workers": workers}, cdpm={"batch_size": 12})
    needed = demand(stage_of(graph, "cdpm"), Capacity(((4, 0), (2, 0))), graph.config.resources)
    assert (needed.workers, needed.cpus, needed.gpus) == (workers, cpus, 0)


def test_a_worker_takes_one_gpu_where_there_are_any():
    graph = small_graph(resources={"cdpm_workers": 4})
    capacity = Capacity(((8, 2), (8, 2)))
    assert demand(stage_of(graph, "cdpm"), capacity, graph.config.resources) == Demand(4, 1, 1)
    assert demand(graph.cells[0].stage, capacity, graph.config.resources) == Demand(1, 1, 1)
    assert demand(graph.data, capacity, graph.config.resources) == Demand(1, 8, 0)  # decodes on all of a node's cores


def test_two_ray_workers_follow_one(finished, tmp_path, capacity):
    one, first = finished
    two, second = small_graph(resources={"cdpm_workers": 2}), Store(tmp_path)
    outcome = compute(two, second, capacity, "cdpm")
    assert not outcome.failed and {stage.name for stage in outcome.computed} == {"data", "cdpm"}
    single, double = (weights(store, stage_of(graph, "cdpm")) for graph, store in ((one, first), (two, second)))
    assert torch.allclose(single, double, atol=1e-4) and single.abs().max() > 0.1
    assert second.record(stage_of(two, "cdpm"))["workers"] == 2
