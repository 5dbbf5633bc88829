"""How much of a cluster each worker can have."""

import pytest

from ddb.experiment.config_file import resolve
from ddb.experiment.graph import build_graph
from ddb.stages import KINDS
from ddb.stages.needs import Capacity, Demand, ResourceSettings

GB = 2**30
UNEQUAL = Capacity(((2, 0), (4, 1)), (8 * GB, 9 * GB))


@pytest.mark.parametrize(("workers", "cpus"), [(1, 4), (2, 2), (3, 2), (4, 1), (6, 1), (7, 0)])
def test_cpus_for_each(workers, cpus):
    assert UNEQUAL.cpus_for_each(workers) == cpus


@pytest.mark.parametrize(
    ("demand", "memory"),
    [
        (Demand(1, 1), 9 * GB),  # the larger node
        (Demand(2, 2), 8 * GB),  # one on each node
        (Demand(3, 2), 4.5 * GB),  # one on the first, two on the second
        (Demand(3, 1), 4.5 * GB),
        (Demand(4, 1), 4 * GB),  # two on each
        (Demand(6, 1), 2.25 * GB),  # two and four
        (Demand(1, 1, 1), 9 * GB),  # only the second has a GPU
        (Demand(7, 1), 0),
    ],
)
def test_memory_for_each(demand, memory):
    assert UNEQUAL.memory_for_each(demand) == memory


def test_a_cluster_hosts_what_each_node_has_room_for():
    assert UNEQUAL.hosts(Demand(3, 2, 0, 4 * GB)) and not UNEQUAL.hosts(Demand(3, 2, 0, 5 * GB))
    assert UNEQUAL.hosts(Demand(1, 4, 1)) and not UNEQUAL.hosts(Demand(2, 1, 1)) and not UNEQUAL.hosts(Demand(2, 3))


def test_four_runs_share_a_gpu_at_a_quarter_each():
    node = Capacity(((8, 1),), (8 * GB,))
    four, five = Demand(4, 1, 0.25), Demand(5, 1, 0.25)
    assert node.memory_for_each(four) == 2 * GB and node.hosts(four)
    assert node.memory_for_each(five) == 0 and not node.hosts(five)
    assert node.memory_for_each(Demand(8, 1, 0.125)) == GB
    assert Capacity(((16, 1),), (10 * GB,)).memory_for_each(Demand(10, 1, 0.1)) == GB  # 1 // 0.1 is 9 in binary
    assert str(four) == "4 workers of 1 CPUs and 0.25 GPU each"


def test_amplifiers_and_classifiers_ask_for_their_share_of_a_gpu():
    resources = ResourceSettings(gpus_per_run=0.25)
    graph = build_graph(resolve({"methods": {"ddb_two_step": {}}, "seeds": [0], "memorisation": False}))
    gpus = {
        stage.name: KINDS[stage.name].demand(stage, Capacity(((8, 2),)), resources).gpus for stage in graph.stages()
    }
    assert gpus["amplifier"] == gpus["classifier"] == 0.25 and gpus["cdpm"] == gpus["synthetic"] == 1


def test_a_share_of_a_gpu_is_one_that_fits_it_without_rest():
    assert [ResourceSettings(gpus_per_run=x).gpu_share for x in (1, 0.6, 0.5, 0.3, 0.1)] == [1, 1, 1 / 2, 1 / 3, 1 / 10]
    assert str(Demand(1, 1, 1 / 3)) == "1 workers of 1 CPUs and 0.333 GPU each"
