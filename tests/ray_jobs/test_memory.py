"""Memory is asked of Ray, which counts it over all that run on a cluster."""

import time
from itertools import pairwise

import pytest

from ddb.stages import KINDS, make_stage
from ddb.stages.kind import Kind
from ddb.store import Store
from ray_jobs.runner import Run
from tests.ray_jobs.conftest import small_graph

pytestmark = pytest.mark.cluster


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
