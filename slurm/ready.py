"""Wait until every node is in the job's Ray with its GPUs and has run a task; report GPUs that torch does not find.

    python -m slurm.ready SECONDS NODE...       # RAY_ADDRESS says where Ray is

Exit code 1, and the names of the missing nodes, if the time is up.
"""

import logging
import os
import sys
import time

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from slurm.log import log


def find_gpus(granted: int) -> tuple[int, str]:
    """GPUs that torch finds on this node, and where it may look; torch is not loaded if none was granted."""
    if not granted:
        return 0, ""
    import torch

    return torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES", "")


def main() -> None:
    """Command line of the module."""
    deadline, names = time.monotonic() + float(sys.argv[1]), set(sys.argv[2:])
    ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False, logging_level=logging.ERROR)
    # A node appears with all its resources.
    while absent := names - (nodes := {node["NodeName"]: node for node in ray.nodes() if node["Alive"]}).keys():
        if time.monotonic() > deadline:
            sys.exit(f"missing: {', '.join(sorted(absent))}")
        time.sleep(0.1)
    task, answers = ray.remote(num_cpus=0)(find_gpus), {}
    for name in sorted(names):
        granted = int(nodes[name]["Resources"].get("GPU", 0))
        place = NodeAffinitySchedulingStrategy(nodes[name]["NodeID"], soft=False)
        answers[name] = granted, task.options(scheduling_strategy=place).remote(granted)
    for name, (granted, answer) in answers.items():
        found, visible = ray.get(answer)
        if found < granted:
            log(f"{name}: SLURM granted {granted} GPUs and torch finds {found}; check nvidia-smi, "
                f"CUDA_VISIBLE_DEVICES={visible}, and that torch is built for GPUs")  # fmt: skip


if __name__ == "__main__":
    main()
