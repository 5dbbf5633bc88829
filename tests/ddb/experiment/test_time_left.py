from ddb.experiment import time_left
from ddb.experiment.time_left import TimeLeft, probed
from ddb.stages.needs import Capacity
from tests.ray_jobs.conftest import small_graph


def test_the_probe_counts_at_first_and_then_the_pace(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time_left.time, "monotonic", lambda: now[0])
    left = TimeLeft({"a": 60.0, "b": 40.0})
    assert left.seconds() == 100
    left.progress("a", 0)
    left.progress("a", 0.05)
    assert left.seconds() == 97  # 3 of 100 are done: too little to tell a pace
    now[0] += 40
    left.progress("a", 0.5)
    assert left.seconds() == 70 / 30 * 40
    left.progress("a", 1)
    left.progress("unknown", 1)
    assert left.seconds() == 40 / 60 * 40
    left.progress("b", 1)
    assert left.seconds() == 0
    assert TimeLeft({}).seconds() is None


def test_what_was_done_before_a_kill_is_not_the_pace_of_this_run(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time_left.time, "monotonic", lambda: now[0])
    left = TimeLeft({"a": 100.0})
    left.progress("a", 0.8)
    assert abs(left.seconds() - 20) < 1e-9
    now[0] = 30.0
    left.progress("a", 0.9)
    assert abs(left.seconds() - 30) < 1e-9  # a tenth took 30 seconds, a tenth is left


def test_work_is_divided_among_slots_unless_a_chain_is_longer(monkeypatch):
    graph = small_graph(methods={"erm": {}, "group_dro": {}})
    first, second = (each for each in graph.stages() if each.name == "classifier")
    costs = {first.key: (1.0, 30.0), second.key: (1.0, 10.0)}
    monkeypatch.setattr(time_left, "costs", lambda graph, stages, device: costs)
    together = lambda capacity: sum(probed(graph, graph.stages(), capacity, "cpu").values())  # noqa: E731
    assert together(None) == together(Capacity(((1, 0),))) == 40
    assert together(Capacity(((2, 0),))) == 30  # the longer one, beside which the other fits
    assert probed(graph, graph.stages(), Capacity(((2, 0),)), "cpu") == {first.key: 22.5, second.key: 7.5}
