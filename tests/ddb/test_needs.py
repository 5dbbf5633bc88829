"""How much of a cluster each worker can have."""

import pytest

from ddb.stages.needs import Capacity, Demand

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
