"""`resources.cdpm_workers: auto` takes what was measured, remembers it, and changes no number."""

import json

import torch

from ddb.stages.needs import Capacity
from ddb.store import Store
from ray_jobs import fastest_workers
from tests.ray_jobs.conftest import compute, small_graph, stage_of, weights


def test_the_fastest_that_fits_is_taken_and_remembered(tmp_path, monkeypatch):
    """Of 1, 2, 4 and 8: 8 does not divide the batch of 12, 4 is fastest."""
    asked = []

    def rate(settings, pixels, workers, cpus):
        asked.append((workers, cpus, pixels, settings.batch_size))
        return {1: 100.0, 2: 150.0, 4: 151.0}[workers]

    monkeypatch.setattr(fastest_workers, "_rate", rate)
    stages, store = [stage_of(small_graph(cdpm={"batch_size": 12}), "cdpm")], Store(tmp_path)
    capacity = Capacity(((16, 0),), (64 * 2**30,))
    assert fastest_workers.fastest_workers(stages, store, capacity) == 4
    assert sorted(asked) == [(1, 16, 8, 12), (2, 8, 8, 12), (4, 4, 8, 12)]
    assert fastest_workers.fastest_workers(stages, store, capacity) == 4 and len(asked) == 3
    (kept,) = json.loads((tmp_path / "cdpm_workers.json").read_text()).values()
    assert kept == {"1": 100.0, "2": 150.0, "4": 151.0}


def test_one_worker_where_memory_or_gpus_leave_no_choice(tmp_path):
    stages = [stage_of(small_graph(), "cdpm")]
    for capacity in (Capacity(((16, 0),), (3 * 2**30,)), Capacity(((16, 4),), (64 * 2**30,))):
        assert fastest_workers.fastest_workers(stages, Store(tmp_path), capacity) == 1
    assert fastest_workers.fastest_workers([], Store(tmp_path), Capacity(((16, 0),), (64 * 2**30,))) == 1


def test_a_run_measures_and_trains_the_same_network(finished, tmp_path, capacity):
    graph, store = small_graph(resources={"cdpm_workers": "auto"}), Store(tmp_path)
    assert not compute(graph, store, capacity, only="cdpm").failed
    (rates,) = json.loads((tmp_path / "cdpm_workers.json").read_text()).values()
    assert set(rates) == {"1", "2"} and min(rates.values()) > 0
    stage = stage_of(graph, "cdpm")
    assert torch.allclose(weights(store, stage), weights(finished[1], stage), atol=1e-4)
