"""A new kind of stage, which this file alone defines, is planned, computed on Ray, and shown wherever stages are."""

import json
import time
from itertools import pairwise

import pytest

from ddb.experiment.status import look
from ddb.report.report_page import render_report
from ddb.stages import KINDS, make_stage
from ddb.stages.kind import Kind
from ddb.store import Store
from ray_jobs.cli.run import show_graph
from ray_jobs.cli.status import show_stages
from ray_jobs.runner import Run
from tests.ray_jobs.conftest import compute, small_graph

pytestmark = pytest.mark.cluster


class ClassMean(Kind):
    """The mean image of each class."""

    name = "class_mean"
    unit = "class"
    numbers = ("brightness",)

    def more_stages(self, stages):
        return [make_stage(self.name, {}, data=each) for each in stages if each.name == "data"]

    def compute(self, job):
        train = job.data()["train"]
        means = [train.images[train.labels == label].mean() for label in range(10)]
        job.write("brightness", dict(zip("0123456789", means, strict=True)))
        return {"classes": len(means)}

    def cost(self, stage, probe, size):
        return 0.001, 0.001 * size.classes


def test_a_kind_that_a_test_defines_is_planned_computed_and_shown(monkeypatch, capacity, tmp_path, capsys):
    monkeypatch.setitem(KINDS, ClassMean.name, ClassMean())
    graph, store = small_graph(methods={"erm": {}}), Store(tmp_path / "runs")
    (stage,) = graph.more
    show_graph(graph, store)
    planned = capsys.readouterr().out
    (cost,) = [line for line in planned.splitlines() if "class_mean" in line and "per class" in line]
    assert "0.001 s per class" in cost

    outcome = compute(graph, store, capacity)
    assert not outcome.failed and stage in outcome.computed
    record = store.record(stage)
    assert record["classes"] == 10 and record["files"] == ["brightness.json"]
    brightness = json.loads((store.path(stage) / "brightness.json").read_text())
    assert len(brightness) == 10 and all(0 < mean < 255 for mean in brightness.values())

    show_stages(graph, look(graph, store))
    status = [line for line in capsys.readouterr().out.splitlines() if "class_mean" in line]
    assert len(status) == 1 and "done" in status[0]
    page = render_report(graph, store)
    assert "class_mean" in page and stage.key in page


class Large(Kind):
    """A stage that takes more than half of the memory and one of two CPUs."""

    name = "large"
    bytes = 0

    def more_stages(self, stages):
        return [make_stage(self.name, {"number": number}) for number in range(2)]

    def compute(self, job):
        began = time.time()
        time.sleep(0.5)
        return {"began": began, "ended": time.time()}

    def memory(self, stage, demand):
        return self.bytes


@pytest.mark.parametrize("share", [0.6, 5.0])
def test_two_runs_on_one_cluster_do_not_overbook_its_memory(share, capacity, tmp_path, monkeypatch):
    """Also if the estimate is five times what there is: one such stage at a time."""
    kind = Large()
    kind.bytes = int(share * max(capacity.memory))
    monkeypatch.setitem(KINDS, Large.name, kind)
    graph, stores = small_graph(methods={"erm": {}}), [Store(tmp_path / name) for name in ("first", "second")]
    runs = [Run(graph, store, capacity, lambda event: None, only="large") for store in stores]
    while any(run.unfinished() for run in runs):
        for run in runs:
            run.one_pass()
    records = [store.record(stage) for store in stores for stage in graph.more]
    times = sorted((record["began"], record["ended"]) for record in records)
    assert len(times) == 4 and all(ended <= began for (_, ended), (began, _) in pairwise(times))
