import pytest

from ddb.experiment import time_left
from ddb.experiment.time_left import TimeLeft, probed
from ddb.stages.needs import Capacity
from tests.ray_jobs.conftest import small_graph


@pytest.fixture
def now(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time_left.time, "monotonic", lambda: now[0])
    return now


def test_the_probe_counts_at_first_and_then_the_pace(now):
    left = TimeLeft()
    assert left.seconds() is None
    left.estimate({"a": 60.0, "b": 40.0})
    assert left.seconds() == 100
    left.progress("a", 0)
    left.progress("a", 0.05)
    assert left.seconds() == pytest.approx(97)  # 3 of 100 are done: too little to tell a pace
    now[0] += 40
    left.progress("a", 0.5)
    assert left.seconds() == pytest.approx(70 / 30 * 40)
    left.progress("a", 1)
    left.progress("unknown", 1)
    assert left.seconds() == pytest.approx(40 / 60 * 40)
    left.progress("b", 1)
    assert left.seconds() == pytest.approx(0)


def test_what_was_done_before_a_kill_is_not_the_pace_of_this_run(now):
    left = TimeLeft()
    left.estimate({"a": 100.0})
    left.progress("a", 0.8)
    assert left.seconds() == pytest.approx(20)
    now[0] += 30
    left.progress("a", 0.9)
    assert left.seconds() == pytest.approx(30)  # a tenth took 30 seconds, a tenth is left


def test_what_is_done_before_the_probe_answers_counts_and_what_failed_does_not(now):
    left = TimeLeft()
    left.progress("a", 1)
    left.progress("b", 0.2)
    left.progress("b", 0.6)
    now[0] += 10
    left.estimate({"a": 10.0, "b": 10.0, "c": 10.0, "d": 10.0})
    assert left.seconds() == pytest.approx(24 / 14 * 10)  # 10 and 4 of work took 10 seconds; 4, 10 and 10 are left
    left.drop(["b", "c"])
    assert left.seconds() == pytest.approx(10 / 14 * 10)


def test_work_is_divided_among_slots_unless_a_chain_is_longer(monkeypatch):
    graph = small_graph(methods={"erm": {}, "group_dro": {}})
    first, second = (each for each in graph.stages() if each.name == "classifier")
    costs = {first.key: (1.0, 30.0), second.key: (1.0, 10.0)}
    monkeypatch.setattr(time_left, "costs", lambda graph, stages, device: costs)
    together = lambda capacity: sum(probed(graph, graph.stages(), capacity, "cpu").values())  # noqa: E731
    assert together(None) == together(Capacity(((1, 0),))) == 40
    assert together(Capacity(((2, 0),))) == 30  # the longer one, beside which the other fits
    assert probed(graph, graph.stages(), Capacity(((2, 0),)), "cpu") == {first.key: 22.5, second.key: 7.5}
