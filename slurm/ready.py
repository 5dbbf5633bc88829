"""Wait until every node and GPU of the allocation is in the job's Ray and has run a task.

    python -m slurm.ready NODES GPUS SECONDS        # RAY_ADDRESS says where Ray is

Counts nodes that are alive: Ray lists dead ones as well. Exit code 1 when the time is up.
"""

import logging
import os
import sys
import time

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


def main() -> None:
    """Command line of the module."""
    nodes, gpus, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    deadline = time.monotonic() + seconds
    ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False, logging_level=logging.ERROR)
    while True:
        alive = [node for node in ray.nodes() if node["Alive"]]
        found = sum(int(node["Resources"].get("GPU", 0)) for node in alive)
        if len(alive) >= nodes and found >= gpus:
            break
        if time.monotonic() > deadline:
            sys.exit(1)
        time.sleep(0.1)
    here = ray.remote(num_cpus=0)(lambda: os.getpid())
    places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in alive]
    ray.get([here.options(scheduling_strategy=place).remote() for place in places])


if __name__ == "__main__":
    main()
