"""The loop with Ray pretended: what other processes compute, failed and left; order, memory, interruption."""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ddb import interrupt
from ddb.errors import DDBError, Interrupted
from ddb.stages.needs import Capacity
from ddb.store import Store
from ddb.store.claim import Claim
from ray_jobs import cluster, console, runner
from ray_jobs.journal import Journal
from ray_jobs.runner import Run
from tests.ray_jobs.conftest import small_graph, stage_of
from tests.ray_jobs.pretended_ray import PretendedRay

TWO_CPUS = Capacity(((2, 0),))
HOLD = """
import pickle, sys, time
from ddb.store import Store
root, how = sys.argv[1:]
store, stage = Store(root), pickle.load(sys.stdin.buffer)
try:
    with store.produce(stage):
        print("held", flush=True)
        if how == "wait":
            time.sleep(300)
        sys.stdin.readline() or time.sleep(1)
        if how == "fail":
            store.fail(stage, "ValueError: theirs")
            raise SystemExit
except SystemExit:
    pass
"""


@pytest.fixture
def pretend(monkeypatch, tmp_path):
    """A run of a graph in which tasks leave an empty result or the error of their kind, and its events."""
    monkeypatch.setattr(runner, "LISTING_EVERY", 0.2)
    monkeypatch.setattr(runner.placement, "release", lambda stage, store: None)
    monkeypatch.setenv(interrupt.FILE, str(tmp_path / "flag"))

    def start(graph, store, capacity=TWO_CPUS, errors=None):
        def done(stage):
            if errors and stage.name in errors:
                raise errors[stage.name]
            with store.produce(stage):
                return True

        monkeypatch.setattr(runner, "ray", PretendedRay(done, (0.0, 0.1)))
        monkeypatch.setattr(cluster, "capacity", lambda: capacity)
        events = []
        return Run(graph, store, capacity, events.append), events

    return start


@pytest.fixture
def holder(tmp_path):
    """A function that starts another process which holds the lock of a stage."""
    started = []

    def hold(stage, how):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path / "runs"), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        started.append(process)
        process.stdin.write(pickle.dumps(stage))
        process.stdin.close()
        assert process.stdout.readline() == b"held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()


def to_the_end(run, until=lambda: False):
    while run.unfinished() and not until():
        run.one_pass()
    return run.outcome


def cells():
    graph = small_graph(
        methods={"erm": {}, "erm 2": {"method": "erm", "steps": 5}, "erm 3": {"method": "erm", "steps": 6}}
    )
    return graph, [cell.classifier for cell in graph.cells]


def test_the_rest_goes_on_while_another_process_computes_and_its_death_is_noticed(pretend, holder, tmp_path):
    (graph, targets), store = cells(), Store(tmp_path / "runs")
    process = holder(targets[0], "wait")
    run, events = pretend(graph, store)
    to_the_end(run, lambda: len(run.outcome.computed) == len(graph.stages()) - 2)  # and its evaluation waits
    assert not run.running and not store.has(targets[0])  # it holds nothing here
    (told,) = [event for event in events if event.kind == "elsewhere"]
    assert told.stage == targets[0] and f"process {process.pid}" in told.owner
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    outcome = to_the_end(run)
    assert targets[0] in outcome.computed and not outcome.failed and not outcome.interrupted


def test_what_another_process_finishes_is_done(pretend, holder, tmp_path):
    (graph, targets), store = cells(), Store(tmp_path / "runs")
    holder(targets[0], "finish")
    run, events = pretend(graph, store)
    outcome = to_the_end(run)
    assert targets[0] in outcome.cached and len(outcome.computed) == len(graph.stages()) - 1
    assert [event.stage for event in events if event.kind == "shared"] == [targets[0]]


def test_what_another_process_fails_at_meanwhile_is_not_tried_again(pretend, holder, tmp_path):
    (graph, targets), store = cells(), Store(tmp_path / "runs")
    store.fail(targets[1], "of an earlier run")
    run, _ = pretend(graph, store)
    holder(targets[0], "fail")
    outcome = to_the_end(run)
    blocked = f"needs classifier {targets[0].key}, which failed"
    assert list(outcome.failed.values()) == [(targets[0], "ValueError: theirs"), (graph.cells[0].stage, blocked)]
    assert targets[1] in outcome.computed  # what failed before this run began is tried again


def test_an_interruption_ends_the_wait(pretend, holder, tmp_path):
    (graph, targets), store = cells(), Store(tmp_path / "runs")
    holder(targets[0], "wait")
    run, _ = pretend(graph, store)
    to_the_end(run, lambda: len(run.outcome.computed) == len(graph.stages()) - 2)
    Path(os.environ[interrupt.FILE]).touch()
    assert to_the_end(run).interrupted == [graph.cells[0].stage, targets[0]]


def test_a_failure_blocks_what_needs_it_and_nothing_else(pretend, tmp_path):
    graph, store = small_graph(), Store(tmp_path / "runs")
    outcome = to_the_end(pretend(graph, store, errors={"cdpm": DDBError("cdpm: no")})[0])
    failed = {stage.name for stage, _ in outcome.failed.values()}
    assert failed == {"cdpm", "synthetic", "amplifier", "alignment", "classifier", "evaluation"}
    assert len(outcome.failed) + len(outcome.computed) == len(graph.stages())
    assert graph.cells[0].stage in outcome.computed  # erm


@pytest.mark.parametrize("requeue", [True, False])
def test_a_lost_node_ends_the_run_at_once_where_its_job_is_queued_again(requeue, pretend, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "CLUSTER_EVERY", 0.0)
    if requeue:
        monkeypatch.setenv(runner.REQUEUE, "1")
    graph, store = small_graph(resources={"cdpm_workers": 4, "lost_node": "wait"}), Store(tmp_path / "runs")
    run, events = pretend(graph, store, Capacity(((2, 0), (2, 0))))
    monkeypatch.setattr(cluster, "capacity", lambda: TWO_CPUS)
    cdpm = stage_of(graph, "cdpm")
    to_the_end(run, lambda: graph.cells[0].stage in run.outcome.computed)
    if requeue:
        assert cdpm in run.outcome.interrupted and "requeued" in run.outcome.reason and not run.unfinished()
    else:
        assert run.unfinished() and not run.outcome.interrupted and cdpm not in [event.stage for event in events]


def test_what_ran_on_a_lost_node_is_counted_on_those_that_are_left(pretend, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "CLUSTER_EVERY", 0.0)
    graph = small_graph(methods={"erm": {}, "erm 2": {"method": "erm", "steps": 5}}, resources={"cpus_per_run": 2})
    run, _ = pretend(graph, Store(tmp_path / "runs"), Capacity(((1, 0), (2, 0))))
    # A cell is at work on the second node, which is the only one that it fits.
    to_the_end(run, lambda: [each.stage.name for each in run.running.values()] == ["classifier"])
    monkeypatch.setattr(cluster, "capacity", lambda: Capacity(((1, 0),)))
    outcome = to_the_end(run)
    assert {error for stage, error in outcome.failed.values() if stage.name == "classifier"} == {
        "resources.cpus_per_run: 2 asked for, but no node has more than 1 CPUs"
    }


def test_nothing_is_submitted_while_the_workers_of_a_cdpm_wait_for_their_place(pretend, tmp_path):
    """One worker of 2 CPUs on two nodes of 2 CPUs: a cell that is submitted before it begins might take its place."""
    graph, store = small_graph(methods={"erm": {}, "ddb_two_step": {}}), Store(tmp_path / "runs")
    run, _ = pretend(graph, store, Capacity(((2, 0), (2, 0))))
    cdpm = stage_of(graph, "cdpm")
    to_the_end(run, lambda: cdpm in [each.stage for each in run.running.values()])
    runner.ray.tasks[next(iter(run.running))] = (float("inf"), cdpm)
    claim = store.claim(cdpm)
    assert claim.take()
    for _ in range(3):
        run.one_pass()
    assert [each.stage for each in run.running.values()] == [cdpm]
    (claim.workspace / "resume").mkdir()
    (claim.workspace / "resume" / "node-earlier-0").touch()  # of an earlier attempt
    run.one_pass()
    assert [each.stage for each in run.running.values()] == [cdpm]
    (each,) = run.running.values()
    (claim.workspace / "resume" / f"node-{each.attempt}-0").touch()
    to_the_end(run, lambda: graph.cells[0].stage in run.outcome.computed)
    assert cdpm in [each.stage for each in run.running.values()]
    claim.release()


def test_an_interruption_ends_at_once_what_waits_in_ray(pretend, tmp_path):
    """A CDPM whose workers have no place, and a cell whose task has not begun: nothing of them would be lost."""
    graph, store = small_graph(methods={"erm": {}, "ddb_two_step": {}}), Store(tmp_path / "runs")
    run, events = pretend(graph, store)
    to_the_end(run, lambda: bool(run.outcome.computed))
    runner.ray.seconds = (1e6, 1e6)
    run.one_pass()
    assert [each.stage.name for each in run.running.values()] == ["cdpm"]
    Path(os.environ[interrupt.FILE]).touch()
    run.one_pass()
    assert not run.unfinished() and {stage.name for stage in run.outcome.interrupted} >= {"cdpm", "classifier"}
    assert [event.stage.name for event in events if event.kind == "interrupted"] == ["cdpm"]


def test_sampling_begins_with_the_first_actor_that_has_room(pretend, tmp_path):
    """A cell has one of two CPUs, and sampling wants two actors, which need not begin together."""
    graph, store = small_graph(methods={"erm": {}, "ddb_two_step": {}}), Store(tmp_path / "runs")
    run, _ = pretend(graph, store)
    synthetic = stage_of(graph, "synthetic")
    to_the_end(run, lambda: synthetic.inputs["cdpm"] in run.outcome.computed)
    rest = run.waiting
    run.waiting = {key: stage for key, stage in rest.items() if stage == graph.cells[0].classifier}
    run.running.clear()
    run.one_pass()
    run.waiting = {synthetic.key: synthetic}
    run.one_pass()
    assert synthetic in [*(each.stage for each in run.running.values()), *run.outcome.computed]


def test_nothing_less_urgent_goes_before_a_stage_that_has_no_room(pretend, tmp_path, monkeypatch):
    """A cell of 1 CPU runs when a CDPM that needs both becomes ready: the other cells have to wait for the CDPM."""
    graph = small_graph(methods={"erm": {}, "erm 2": {"method": "erm", "steps": 5}, "ddb_two_step": {}})
    store = Store(tmp_path / "runs")
    run, events = pretend(graph, store)
    cells, cdpm = [cell.classifier for cell in graph.cells], stage_of(graph, "cdpm")
    to_the_end(run, lambda: graph.data in run.outcome.computed)
    rest = run.waiting
    run.waiting = {cells[0].key: rest.pop(cells[0].key)}
    run.one_pass()
    run.waiting = rest
    to_the_end(run)
    begun = [event.stage for event in events if event.kind == "started"]
    assert begun.index(cells[0]) < begun.index(cdpm) < begun.index(cells[1])


def test_tasks_of_an_array_begin_at_different_stages(pretend, monkeypatch, tmp_path):
    graph, targets = cells()
    with Store(tmp_path / "runs").produce(graph.data):
        pass
    begun = []
    for task in range(3):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(task))
        monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "3")
        run, events = pretend(graph, Store(tmp_path / "runs"))
        run.one_pass()
        begun.append(events[1].stage.key)  # after the cached data
    assert sorted(begun) == sorted(stage.key for stage in targets)


def test_a_listing_asks_after_a_limited_number_of_claims(pretend, tmp_path, monkeypatch):
    (graph, targets), asked = cells(), []
    monkeypatch.setattr(runner, "LOOKS", 2)
    monkeypatch.setattr(Claim, "is_held", lambda claim: asked.append(claim.path.name) or True)
    run, _ = pretend(graph, Store(tmp_path / "runs"))
    run.waiting.clear()
    run.elsewhere = {stage.key: (stage, run.store.claim(stage)) for stage in targets}
    run._look_elsewhere()
    run._look_elsewhere()
    first, second, third = (stage.key for stage in targets)
    assert asked == [first, second, third, first]


def test_an_interrupted_stage_is_not_counted_as_done(tmp_path, pretend):
    graph, store = small_graph(methods={"erm": {}}), Store(tmp_path / "runs")
    journal = Journal(store, "small", "id")
    journal.log.parent.mkdir(parents=True)
    view = console.StageView(graph, 2, journal)
    run, _ = pretend(graph, store, errors={"classifier": Interrupted("asked")})
    run.notify = view.notify
    to_the_end(run)
    assert "[1/2] classifier erm seed 3: interrupted" in journal.log.read_text()
