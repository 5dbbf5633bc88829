"""The loop with Ray pretended: what other processes compute, failed and left; order, memory, interruption."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from ddb import interrupt
from ddb.errors import DDBError
from ddb.stages.needs import Capacity, Demand
from ddb.store import Store
from ray_jobs import cluster, console, rounds, run_experiment
from ray_jobs.room import Needs, Room
from ray_jobs.run_experiment import Run
from ray_jobs.waiting import Waiting
from tests.ray_jobs.conftest import small_plan
from tests.ray_jobs.pretended_ray import PretendedRay

GB = 2**30
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
    """Events of a run of a plan in which tasks leave an empty result, and the run itself."""
    monkeypatch.setattr(run_experiment, "LISTING_EVERY", 0.2)
    monkeypatch.setattr(cluster, "other_nodes", lambda: [])
    monkeypatch.setenv(interrupt.FILE, str(tmp_path / "flag"))

    def start(graph, store, capacity=TWO_CPUS, done=None):
        def commit(stage):
            with store.produce(stage):
                return True

        monkeypatch.setattr(run_experiment, "ray", PretendedRay(done or commit, (0.0, 0.1)))
        monkeypatch.setattr(cluster, "capacity", lambda: capacity)
        events = []
        return Run(graph, store, capacity, events.append), events

    return start


@pytest.fixture
def holder(tmp_path):
    """A function that starts another process which holds the lock of a stage."""
    import pickle

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
    graph = small_plan(
        methods={"erm": {}, "erm 2": {"method": "erm", "steps": 5}, "erm 3": {"method": "erm", "steps": 6}}
    )
    return graph, [cell.stage for cell in graph.cells]


def test_the_rest_goes_on_while_another_process_computes_and_its_death_is_noticed(pretend, holder, tmp_path):
    (graph, targets), store = cells(), Store(tmp_path / "runs")
    process = holder(targets[0], "wait")
    run, events = pretend(graph, store)
    to_the_end(run, lambda: len(run.outcome.computed) == len(graph.stages()) - 1)
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
    assert outcome.failed == {targets[0].key: (targets[0], "ValueError: theirs")}
    assert targets[1] in outcome.computed  # what failed before this run began is tried again


def test_an_interruption_ends_the_wait(pretend, holder, tmp_path):
    (graph, targets), store = cells(), Store(tmp_path / "runs")
    holder(targets[0], "wait")
    run, _ = pretend(graph, store)
    to_the_end(run, lambda: len(run.outcome.computed) == len(graph.stages()) - 1)
    Path(os.environ[interrupt.FILE]).touch()
    assert to_the_end(run).interrupted == [targets[0]]


def test_a_failure_blocks_what_needs_it_and_nothing_else(pretend, tmp_path):
    graph, store = small_plan(), Store(tmp_path / "runs")

    def done(stage):
        if stage.name == "cdpm":
            raise DDBError("cdpm: no")
        with store.produce(stage):
            return True

    outcome = to_the_end(pretend(graph, store, done=done)[0])
    failed = {stage.name for stage, _ in outcome.failed.values()}
    assert failed == {"cdpm", "synthetic", "amplifier", "alignment", "target"}
    assert len(outcome.failed) + len(outcome.computed) == len(graph.stages())
    assert graph.cells[0].stage in outcome.computed  # erm


@pytest.mark.parametrize("requeue", [True, False])
def test_a_lost_node_ends_the_run_at_once_where_its_job_is_queued_again(requeue, pretend, tmp_path, monkeypatch):
    monkeypatch.setattr(run_experiment, "CLUSTER_EVERY", 0.0)
    if requeue:
        monkeypatch.setenv(run_experiment.REQUEUE, "1")
    graph, store = small_plan(resources={"cdpm_workers": 4, "lost_node": "wait"}), Store(tmp_path / "runs")
    run, events = pretend(graph, store, Capacity(((2, 0), (2, 0))))
    monkeypatch.setattr(cluster, "capacity", lambda: TWO_CPUS)
    (cdpm,) = [stage for stage in graph.stages() if stage.name == "cdpm"]
    to_the_end(run, lambda: graph.cells[0].stage in run.outcome.computed)
    if requeue:
        assert cdpm in run.outcome.interrupted and "queued again" in run.outcome.reason and not run.unfinished()
    else:
        assert run.unfinished() and not run.outcome.interrupted and cdpm not in [event.stage for event in events]


def test_what_ran_on_a_lost_node_is_counted_on_those_that_are_left(pretend, tmp_path, monkeypatch):
    monkeypatch.setattr(run_experiment, "CLUSTER_EVERY", 0.0)
    monkeypatch.setattr(run_experiment.placement, "release_unmet", lambda capacity: None)
    graph = small_plan(methods={"erm": {}, "erm 2": {"method": "erm", "steps": 5}}, resources={"cell_cpus": 2})
    run, _ = pretend(graph, Store(tmp_path / "runs"), Capacity(((1, 0), (2, 0))))
    # A cell is at work on the second node, which is the only one that it fits.
    to_the_end(run, lambda: [each.stage.name for each in run.running.values()] == ["target"])
    monkeypatch.setattr(cluster, "capacity", lambda: Capacity(((1, 0),)))
    outcome = to_the_end(run)
    assert {error for _, error in outcome.failed.values()} == {
        "resources.cell_cpus: 2 asked for, but no node has more than 1 CPUs"
    }


def test_stages_that_do_not_fit_into_memory_wait_but_one_always_runs(pretend, tmp_path):
    graph, _ = cells()
    run, _ = pretend(graph, Store(tmp_path / "runs"), Capacity(((8, 0),), (GB // 2,)))
    most = 0
    while run.unfinished():
        run.one_pass()
        most = max(most, len(run.running))
    assert most == 1 and len(run.outcome.computed) == len(graph.stages())


def test_room_counts_each_node_by_itself():
    room = Room(Capacity(((2, 0), (4, 1)), (8 * GB, 8 * GB)))
    three = Needs(Demand(2, 2), GB, 3 * GB)
    first = room.take(three)
    assert first and room.take(three) is None
    assert room.take(Needs(Demand(1, 1, 1), 0, GB)) and room.take(Needs(Demand(1, 1, 1), 0, GB)) is None
    room.give_back(first)
    assert room.take(Needs(Demand(1, 1), 0, 9 * GB)) is None and room.take(Needs(Demand(1, 1), 0, 8 * GB))


def test_tasks_of_an_array_begin_at_different_stages(monkeypatch):
    _, targets = cells()
    missing = {stage.key: stage for stage in targets}
    begun = []
    for task in range(3):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(task))
        monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "3")
        begun.append(Waiting(missing).ready())
    assert {ready[0].key for ready in begun} == set(missing) and all(len(ready) == 3 for ready in begun)


def test_looks_in_turn_are_bounded_together(monkeypatch):
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(rounds, "time", clock)
    looks = rounds.Rounds(0.0, 5)
    for number in range(100):
        looks.add(number, number)
    assert looks.due() == [0, 1, 2, 3, 4] and looks.due() == []
    looks.discard(5)
    clock.now = 0.5
    assert looks.due() == [6, 7]


def test_an_interrupted_stage_is_not_counted_as_done(tmp_path, pretend):
    from ddb.errors import Interrupted

    graph, store = small_plan(methods={"erm": {}}), Store(tmp_path / "runs")

    def done(stage):
        if stage.name == "target":
            raise Interrupted("asked")
        with store.produce(stage):
            return True

    screen = Console(record=True, width=140, file=open(os.devnull, "w"))  # noqa: SIM115
    view = console.StageView(screen, store, graph, 2)
    run, _ = pretend(graph, store, done=done)
    run.notify = view.notify
    to_the_end(run)
    assert "[1/2] target erm seed 3: interrupted" in screen.export_text()
