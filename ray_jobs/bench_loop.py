"""What the driver's loop costs on a large cluster: its passes and the files that it opens, with Ray pretended.

    python -m ray_jobs.bench_loop --stages 5000 --nodes 512 --cpus 64

Tasks end by the clock and leave an empty result; everything else is the loop that runs experiments. Printed as JSON.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ddb.artifacts import Stage, Store
from ddb.config import ResourceSettings
from ddb.process_memory import GB
from ray_jobs import cluster, run_experiment
from ray_jobs.cluster import Capacity

SECONDS = (2.0, 20.0)  # that a task takes


class PretendedRay:
    """Ray as the loop sees it: a task that was handed over is `done` when its time has come."""

    def __init__(self, done: Callable[[Stage], Any], seconds: tuple[float, float]):
        self.done, self.seconds = done, seconds
        self.tasks: dict[int, tuple[float, Stage]] = {}
        self.waited = 0.0

    def remote(self, **options: Any) -> Callable:
        """`ray.remote(...)(function).remote(...)`."""
        return lambda function: SimpleNamespace(remote=self._submit)

    def _submit(self, stage: Stage, *arguments: Any) -> int:
        self.tasks[len(self.tasks)] = (time.monotonic() + random.uniform(*self.seconds), stage)
        return len(self.tasks) - 1

    def wait(self, references: list[int], num_returns: int, timeout: float) -> tuple[list[int], list[int]]:
        """Those whose time has come; sleeps for `timeout` where there are none."""
        over = [reference for reference in references if self.tasks[reference][0] <= time.monotonic()]
        if not over:
            time.sleep(timeout)
            self.waited += timeout
        return over, []

    def cancel(self, reference: int, force: bool) -> None:
        """The task leaves nothing."""

    def get(self, reference: int) -> Any:
        """What the task returns, or raises."""
        return self.done(self.tasks[reference][1])


class PretendedPlan:
    """A plan of stages that were made by hand."""

    def __init__(self, stages: list[Stage]):
        self._stages, self.config = stages, SimpleNamespace(resources=ResourceSettings(sampling_actors=64))

    def stages(self, only: str | None = None) -> list[Stage]:
        return self._stages

    def lacks_data(self, stage: Stage) -> None:
        return None


def large_plan(number: int) -> PretendedPlan:
    """`number` stages in the proportions of an ablation: a few CDPMs, many amplifiers, most of all targets."""
    dataset = {"dataset": {"name": "colored_digits", "image_size": 16}}
    settings = {"batch_size": 64, "channels": [32, 64], "engine": "deepspeed", "zero_stage": 0}
    data = Stage("data", dataset, 1)
    stages = [data]
    for seed in range(max(1, number // 100)):
        cdpm = Stage("cdpm", {"cdpm": settings, "seed": seed}, 1, {"data": data})
        drawn = Stage("synthetic", {"seed": seed}, 1, {"cdpm": cdpm})
        amplifiers = [
            Stage("amplifier", {"n": n, "seed": seed}, 1, {"data": data, "synthetic": drawn}) for n in range(8)
        ]
        targets = [
            Stage("target", {"n": n, "seed": seed}, 1, {"data": data, "amplifier": amplifiers[n % 8]})
            for n in range(90)
        ]
        stages += [cdpm, drawn, *amplifiers, *targets]
    return PretendedPlan(stages[:number])


def bench(stages: int, nodes: int, cpus: int, seconds: tuple[float, float] = SECONDS) -> dict[str, Any]:
    """Run a pretended experiment to its end; passes in seconds, without the time in which they wait for Ray."""
    capacity = Capacity(((cpus, 0),) * nodes, (4 * cpus * GB,) * nodes)
    opened: Counter[int] = Counter()
    locks = 0
    counting = True
    passes, running = [], []
    with tempfile.TemporaryDirectory() as root:
        store = Store(root)
        store.open_to_write()

        def count(event: str, arguments: tuple) -> None:
            nonlocal locks
            if counting and event in ("open", "os.scandir", "os.listdir") and str(arguments[0]).startswith(root):
                if "/.locks/" in str(arguments[0]):
                    locks += 1
                else:
                    opened[int(time.monotonic())] += 1

        def done(stage: Stage) -> bool:
            store.path(stage).mkdir(parents=True)
            return True

        pretended = PretendedRay(done, seconds)
        sys.addaudithook(count)
        before = run_experiment.ray, cluster.capacity, cluster.other_nodes
        run_experiment.ray, cluster.capacity, cluster.other_nodes = pretended, lambda: capacity, lambda: []
        try:
            run = run_experiment.Run(large_plan(stages), store, capacity, lambda event: None)
            while run.unfinished():
                began, waited = time.monotonic(), pretended.waited
                run.one_pass()
                passes.append(time.monotonic() - began - (pretended.waited - waited))
                running.append(len(run.running))
        finally:
            counting = False
            run_experiment.ray, cluster.capacity, cluster.other_nodes = before
    return {
        "stages": stages,
        "computed": len(run.outcome.computed),
        "nodes": nodes,
        "cpus_per_node": cpus,
        "most_running": max(running),
        "first_pass_s": round(passes[0], 4),
        "longest_later_pass_s": round(max(passes[1:]), 4),
        "passes": len(passes),
        "locks_opened_per_stage": round(locks / stages, 2),
        "other_files_opened_per_second": max(opened.values(), default=0),
    }


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, default=5000)
    parser.add_argument("--nodes", type=int, default=512)
    parser.add_argument("--cpus", type=int, default=64, help="of each node")
    arguments = parser.parse_args()
    sys.stdout.write(json.dumps(bench(arguments.stages, arguments.nodes, arguments.cpus), indent=1) + "\n")


if __name__ == "__main__":
    main()
