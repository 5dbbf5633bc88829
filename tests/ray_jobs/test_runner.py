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
from ddb.diffusion.pipeline import CDPMPipeline
from ddb.errors import DDBError
from ddb.stages import KINDS
from ddb.stages.needs import Capacity, Demand
from ddb.store import Store
from ray_jobs.runner import demand_now, run_graph
from tests.ray_jobs.conftest import small_graph

pytestmark = pytest.mark.cluster


def _run(graph, store, capacity):
    return run_graph(graph, store, capacity, lambda event: None)


def demand(stage, capacity, resources):
    return KINDS[stage.name].demand(stage, capacity, resources)


def _only(graph, name):
    return next(stage for stage in graph.stages() if stage.name == name)


def test_every_stage_is_an_artifact_with_its_record(finished):
    graph, store = finished
    for stage in graph.stages():
        record = store.record(stage)
        assert record["key"] == stage.key and record["seconds"] > 0 and record["packages"]["torch"]
    assert not list((store.root / ".work").glob("*/*"))
    assert (store.path(_only(graph, "cdpm")) / "tensorboard").is_dir()
    metrics = json.loads((store.path(graph.cells[0].stage) / "metrics.json").read_text())
    assert 0 <= metrics["worst_group_accuracy"] <= metrics["average_accuracy"] <= 1


def test_a_local_run_is_on_loopback_whatever_interface_a_profile_names(finished):
    assert ray.get(ray.remote(os.getenv).remote("GLOO_SOCKET_IFNAME")) == "lo"


def test_the_same_command_finds_everything_done(finished, capacity):
    graph, store = finished
    outcome = _run(graph, store, capacity)
    assert len(outcome.cached) == len(graph.stages()) and not outcome.computed


def test_batch_and_actors_do_not_change_the_images(finished, tmp_path, capacity):
    """Batch 16 on two actors against batch 7 on one: the same rows, images to one grey level of 256."""
    graph, first = finished
    stage = _only(graph, "synthetic")
    second = Store(tmp_path)
    for shared in (graph.data, stage.inputs["cdpm"]):
        second.path(shared).parent.mkdir()
        second.path(shared).symlink_to(first.path(shared))
    other = small_graph(resources={"sampling_batch": 7, "sampling_actors": 1})
    assert not run_graph(other, second, capacity, lambda event: None, only="synthetic").failed
    tables = [pq.read_table(store.path(stage) / "images.parquet") for store in (first, second)]
    rows = [list(zip(t["label"].to_pylist(), t["index"].to_pylist(), strict=True)) for t in tables]
    assert rows[0] == rows[1] == [(label, index) for label in range(10) for index in range(3)]
    images = [synthetic.read(store.path(stage)).images.astype(int) for store in (first, second)]
    assert np.abs(images[0] - images[1]).max() <= 1


def test_a_failed_cell_is_recorded_and_stops_no_other(finished, capacity):
    _, store = finished
    broken = {"method": "erm", "learning_rate": 1e30, "optimizer": "sgd"}
    graph = small_graph(methods={"ddb_two_step": {}, "broken": broken, "erm": {"steps": 5}})
    outcome = _run(graph, store, capacity)
    failed = next(cell for cell in graph.cells if cell.method == "broken")
    assert list(outcome.failed) == [failed.classifier.key, failed.stage.key]
    assert "lower learning_rate" in store.failure(failed.classifier)
    assert all(store.has(stage) for stage in graph.stages() if stage.key not in outcome.failed)


@pytest.mark.long
def test_a_diverging_cdpm_names_the_setting_and_blocks_only_what_needs_it(finished, capacity):
    _, store = finished
    graph = small_graph(cdpm={"learning_rate": 1e30, "warmup_steps": 0})
    outcome = _run(graph, store, capacity)
    cdpm = _only(graph, "cdpm")
    assert "cdpm.learning_rate" in outcome.failed[cdpm.key][1]
    assert {stage.name for stage, _ in outcome.failed.values()} == {
        "cdpm",
        "synthetic",
        "alignment",
        "amplifier",
        "classifier",
        "evaluation",
    }
    assert store.has(graph.cells[0].stage)  # erm needs no CDPM


def test_a_killed_worker_resumes_to_the_same_weights_bit_for_bit(finished, tmp_path, capacity):
    graph, whole = finished
    stage, killed, stores = _only(graph, "cdpm"), [], []
    while not killed:  # on a busy machine, training may end before the watcher looks
        stores.append(Store(tmp_path / str(len(stores))))
        watcher = threading.Thread(target=_kill_worker, args=(stores[-1], stage, killed), daemon=True)
        watcher.start()
        outcome = run_graph(graph, stores[-1], capacity, lambda event: None, only="cdpm")
        watcher.join()
        assert not outcome.failed, outcome.failed
    assert torch.equal(_weights(whole, stage), _weights(stores[-1], stage))


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


def _weights(store, stage):
    """All weights of a trained CDPM, flat."""
    unet = CDPMPipeline.from_pretrained(store.path(stage) / "pipeline").unet
    return torch.cat([parameter.flatten() for parameter in unet.parameters()])


@pytest.mark.parametrize("setting", ["cdpm_workers", "sampling_actors"])
def test_more_workers_than_resources_is_refused_by_name(setting):
    graph = small_graph(resources={setting: 3}, cdpm={"batch_size": 12})
    stage = _only(graph, "cdpm" if setting == "cdpm_workers" else "synthetic")
    with pytest.raises(DDBError, match=rf"resources\.{setting}: 3 asked for, but there are 2 CPUs"):
        demand(stage, Capacity(((2, 0),)), graph.config.resources)


def test_a_cdpm_goes_on_with_the_most_workers_that_divide_its_batch():
    """4 of 4 GPUs, then one node of 3 is left: two workers share a batch of 8, three could not."""
    graph = small_graph(resources={"cdpm_workers": 4}, cdpm={"batch_size": 8})
    stage, resources = _only(graph, "cdpm"), graph.config.resources
    four, two = (demand_now(stage, Capacity(((8, gpus),)), resources) for gpus in (4, 3))
    assert (four, two) == (Demand(4, 1, 1), Demand(2, 1, 1))


def test_sampling_goes_on_with_the_actors_that_fit():
    graph = small_graph(resources={"sampling_actors": 4})
    assert demand_now(_only(graph, "synthetic"), Capacity(((3, 0),)), graph.config.resources) == Demand(3, 1, 0)


def test_a_stage_waits_for_a_node_where_that_is_the_setting():
    graph = small_graph(resources={"cdpm_workers": 4, "sampling_actors": 4, "cpus_per_run": 4, "lost_node": "wait"})
    for stage in (_only(graph, "cdpm"), _only(graph, "synthetic"), graph.cells[0].stage):
        assert demand_now(stage, Capacity(((3, 0),)), graph.config.resources) is None


def test_what_cannot_do_with_less_fails_with_the_reason():
    split = small_graph(resources={"cdpm_workers": 4}, cdpm={"zero_stage": 2})
    cells = small_graph(resources={"cpus_per_run": 4})
    for stage, graph, setting in ((_only(split, "cdpm"), split, "cdpm_workers"), (cells.cells[0].stage, cells, "cpus")):
        with pytest.raises(DDBError, match=rf"resources\.{setting}.*4 asked for"):
            demand_now(stage, Capacity(((3, 0),)), graph.config.resources)


@pytest.mark.parametrize(("workers", "cpus"), [(1, 4), (2, 2), (3, 2), (4, 1), (6, 1)])
def test_a_worker_never_asks_for_more_than_a_node_has(workers, cpus):
    """Nodes of 4 and 2 CPUs: one worker takes the larger node, two or three get 2 each, more get 1."""
    graph = small_graph(resources={"cdpm_workers": workers}, cdpm={"batch_size": 12})
    needed = demand(_only(graph, "cdpm"), Capacity(((4, 0), (2, 0))), graph.config.resources)
    assert (needed.workers, needed.cpus, needed.gpus) == (workers, cpus, 0)


def test_a_worker_takes_one_gpu_where_there_are_any():
    graph = small_graph(resources={"cdpm_workers": 4})
    capacity = Capacity(((8, 2), (8, 2)))
    assert demand(_only(graph, "cdpm"), capacity, graph.config.resources) == Demand(4, 1, 1)
    assert demand(graph.cells[0].stage, capacity, graph.config.resources) == Demand(1, 1, 1)
    assert demand(graph.data, capacity, graph.config.resources) == Demand(1, 8, 0)  # decodes on all of a node's cores


def test_two_ray_workers_follow_one(finished, tmp_path, capacity):
    one, first = finished
    two, second = small_graph(resources={"cdpm_workers": 2}), Store(tmp_path)
    outcome = run_graph(two, second, capacity, lambda event: None, only="cdpm")
    assert not outcome.failed and {stage.name for stage in outcome.computed} == {"data", "cdpm"}
    single, double = (_weights(store, _only(graph, "cdpm")) for graph, store in ((one, first), (two, second)))
    assert torch.allclose(single, double, atol=1e-4) and single.abs().max() > 0.1
    assert second.record(_only(two, "cdpm"))["workers"] == 2
