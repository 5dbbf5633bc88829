"""Four cells on a simulated cluster of two nodes, one of which is killed; run as a script, since it needs its own Ray.

python -m tests.ray_jobs.test_lost_node STORE      # prints how many cells the killed node was at work on
"""

import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from ddb.artifacts import Store
from ddb.report import rows
from tests.ray_jobs.conftest import small_plan

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]


def four_cells():
    return small_plan(methods={f"erm {i}": {"method": "erm", "steps": 1200 + i} for i in range(4)})


def test_cells_of_a_lost_node_run_again_on_the_other(tmp_path):
    command = [sys.executable, "-m", "tests.ray_jobs.test_lost_node", str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=380)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert "lost cells: 2" in finished.stdout
    table = rows(four_cells(), Store(tmp_path))
    assert len(table) == 4 and all(row.complete and not row.failed for row in table)


def cells_below(pid, store):
    """Keys of the cells whose lock a descendant of process `pid` holds."""
    locks = store.root / ".locks"
    held = set()
    for process in psutil.Process(pid).children(recursive=True):
        try:
            held |= {Path(file.path).stem for file in process.open_files() if Path(file.path).parent == locks}
        except psutil.Error:
            continue
    return {name for name in held if name.startswith("target")}


def main(root):
    import ray
    from ray.cluster_utils import Cluster

    from ray_jobs.cluster import capacity
    from ray_jobs.run_experiment import run_plan

    store, graph = Store(root), four_cells()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    doomed = cluster.add_node(num_cpus=2)
    ray.init(address=cluster.address, log_to_driver=False)
    raylet = doomed.all_processes["raylet"][0].process.pid
    lost = set()

    def kill_when_all_are_at_work():
        while len(lost) < 2:
            time.sleep(0.05)
            lost.update(cells_below(raylet, store))
        cluster.remove_node(doomed, allow_graceful=False)

    threading.Thread(target=kill_when_all_are_at_work, daemon=True).start()
    outcome = run_plan(graph, store, capacity(), lambda event: None)
    print(f"lost cells: {len(lost)}")
    nodes = [node["Alive"] for node in ray.nodes()]
    ray.shutdown()
    cluster.shutdown()
    sys.exit(bool(outcome.failed) or sorted(nodes) != [False, True])


if __name__ == "__main__":
    main(sys.argv[1])
