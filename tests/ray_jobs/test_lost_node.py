"""Cells on a simulated cluster of two nodes, one of which is killed; run as a script, since it needs its own Ray.

python -m tests.ray_jobs.test_lost_node STORE HEAD_CPUS CELL_CPUS CELLS      # prints what became of them
"""

import contextlib
import json
import subprocess
import sys
import threading
import time

import psutil
import pytest

from ddb.experiment.results import Results
from ddb.report import rows
from ddb.store import Store
from tests.ray_jobs.conftest import lend, small_graph

pytestmark = pytest.mark.cluster


def cells(number, cpus):
    methods = {f"erm {i}": {"method": "erm", "steps": 1200 + i} for i in range(number)}
    return small_graph(methods=methods, resources={"cpus_per_run": cpus})


def run(*arguments):
    command = [sys.executable, "-m", "tests.ray_jobs.test_lost_node", *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished.stdout


def test_cells_of_a_lost_node_run_again_on_the_other(tmp_path, finished):
    lend(finished, tmp_path)
    assert "lost 2, failed 0" in run(tmp_path, 2, 1, 4)
    table = rows(Results(cells(4, 1), Store(tmp_path)))
    assert len(table) == 4 and all(row.complete and not row.failed for row in table)


@pytest.mark.long
def test_a_cell_that_fits_no_other_node_fails_with_the_reason_instead_of_waiting_for_ever(tmp_path, finished):
    lend(finished, tmp_path)
    assert "lost 1, failed 2" in run(tmp_path, 1, 2, 1)
    said = Store(tmp_path).failure(cells(1, 2).cells[0].classifier)
    assert said == "resources.cpus_per_run: 2 asked for, but no node has more than 1 CPUs"


def cells_below(pid, store):
    """Workspaces of the cells that a descendant of process `pid` holds."""
    below = {process.pid for process in psutil.Process(pid).children(recursive=True)}
    held = set()
    for path in store.root.glob(".work/classifier/*/holder.json"):
        with contextlib.suppress(FileNotFoundError):  # done meanwhile
            if json.loads(path.read_text())["pid"] in below:
                held.add(path.parent.name)
    return held


def main(root, head_cpus, cpus_per_run, number):
    import ray
    from ray.cluster_utils import Cluster

    from ray_jobs.cluster import capacity
    from ray_jobs.runner import run_graph

    store, graph = Store(root), cells(number, cpus_per_run)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": head_cpus})
    doomed = cluster.add_node(num_cpus=2)
    ray.init(address=cluster.address, log_to_driver=False)
    raylet = doomed.all_processes["raylet"][0].process.pid
    lost, wanted = set(), 2 // cpus_per_run

    def kill_when_all_are_at_work():
        while len(lost) < wanted:
            time.sleep(0.05)
            lost.update(cells_below(raylet, store))
        cluster.remove_node(doomed, allow_graceful=False)

    threading.Thread(target=kill_when_all_are_at_work, daemon=True).start()
    outcome = run_graph(graph, store, capacity(), lambda event: None)
    print(f"lost {len(lost)}, failed {len(outcome.failed)}")
    while sorted(node["Alive"] for node in ray.nodes()) != [False, True]:  # Ray may notice after the cells have run
        time.sleep(0.2)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
