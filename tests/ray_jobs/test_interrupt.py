"""A run that is asked to end early: what each kind of stage keeps, and that the next start goes on from there."""

import json
import os
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ddb import interrupt, progress
from tests.ray_jobs.conftest import compute, lend, small_graph, stage_of

pytestmark = [pytest.mark.cluster, pytest.mark.long]


@pytest.fixture
def ask():
    """A function that requests an interruption once a condition holds; the request ends with the test."""
    flag, over = Path(os.environ[interrupt.FILE]), threading.Event()

    def when(condition):
        def watch():
            while not over.wait(0.02):
                if condition():
                    flag.touch()
                    return

        threading.Thread(target=watch, daemon=True).start()

    yield when
    over.set()
    flag.unlink(missing_ok=True)


def interrupted_then_finished(graph, store, capacity, only, ask, condition):
    """Run `only` until the condition, look at what an interruption leaves, and run again to the end."""
    stage = stage_of(graph, only)
    ask(lambda: condition(store.work_path(stage)))
    outcome = compute(graph, store, capacity, only)
    assert stage in outcome.interrupted and not outcome.failed and not store.has(stage)
    assert store.interrupted(stage) and store.failure(stage) is None
    yield stage
    Path(os.environ[interrupt.FILE]).unlink()
    outcome = compute(graph, store, capacity, only)
    assert not outcome.interrupted and not outcome.failed and store.has(stage)
    yield stage


def test_cdpm_training_goes_on_after_the_step_that_it_was_in(finished, tmp_path, capacity, ask):
    graph = small_graph(cdpm={"steps": 1500}, resources={"checkpoint_every": 100_000}, methods={"ddb_two_step": {}})
    store, logged = lend(finished, tmp_path), []

    def far_enough(work):
        losses = work / "resume" / "losses.jsonl"
        return losses.exists() and losses.read_text().count("\n") >= 3

    for stage in interrupted_then_finished(graph, store, capacity, "cdpm", ask, far_enough):
        place = store.path(stage) if store.has(stage) else store.work_path(stage) / "resume"
        logged.append([json.loads(line)["step"] for line in (place / "losses.jsonl").open()])
    before, whole = logged
    assert 60 <= before[-1] < 1500
    assert whole[: len(before)] == before and len(whole) == len(set(whole)) and whole[-1] == 1500


def test_another_number_of_workers_than_zero_2_can_go_on_with_is_one_line(finished, tmp_path, capacity, ask):
    cdpm, store = {"steps": 4000, "zero_stage": 2}, lend(finished, tmp_path)
    one, two = (
        small_graph(cdpm=cdpm, resources={"cdpm_workers": workers}, methods={"ddb_two_step": {}}) for workers in (1, 2)
    )
    stage = stage_of(two, "cdpm")
    ask(lambda: (progress.read(store.work_path(stage)) or {}).get("step", 0) >= 40)
    assert stage in compute(two, store, capacity, "cdpm").interrupted
    Path(os.environ[interrupt.FILE]).unlink()
    outcome = compute(one, store, capacity, "cdpm")
    folder = store.work_path(stage)
    assert folder.is_dir() and outcome.failed[stage.key][1] == (
        "resources.cdpm_workers: 1 cannot go on from a checkpoint that 2 wrote with cdpm.zero_stage 2; set "
        f"resources.cdpm_workers=2, or remove {folder} to begin again"
    )


def test_sampling_keeps_every_batch_that_it_has_drawn(finished, tmp_path, capacity, ask):
    sampling = {"images_per_class": 10, "sampler_steps": 30}
    graph = small_graph(sampling=sampling, resources={"sampling_batch": 2}, methods={"ddb_two_step": {}})
    store, drawn = lend(finished, tmp_path), []

    def parts(work):
        return list((work / "resume" / "parts").glob("0*.parquet"))

    for stage in interrupted_then_finished(graph, store, capacity, "synthetic", ask, lambda work: len(parts(work)) > 3):
        if store.has(stage):
            assert pq.read_table(store.path(stage) / "images.parquet").num_rows == 100
        else:
            drawn = parts(store.work_path(stage))
    assert 3 < len(drawn) < 50


def test_a_cell_stops_and_is_no_failure(finished, tmp_path, capacity, ask):
    graph, store = small_graph(methods={"erm": {"steps": 4000}}), lend(finished, tmp_path)
    for stage in interrupted_then_finished(
        graph, store, capacity, "classifier", ask, lambda work: (progress.read(work) or {}).get("step", 0) > 20
    ):
        assert store.has(stage) or progress.read(store.work_path(stage))["step"] < 4000
