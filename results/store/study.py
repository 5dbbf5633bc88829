"""Time and memory of `ddb status`, `ddb run --dry-run` and `ddb table` on a large store, each in a process of its own.

    python results/store/study.py --stages 1000 --rounds 3

Creates a store for an experiment that varies the guidance for ten seeds and two methods. All stages are finished, with
complete records and made-up metrics. Prints for each command the fastest round (wall-clock and CPU seconds) and the
largest peak of memory.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

from ddb.experiment.config_file import load
from ddb.experiment.graph import build_graph
from ddb.store import Store
from ddb.store.record import write_record

# Linux counts what a process was before its exec into the peak of its memory, so this one has to stay small.
SPAWN = multiprocessing.get_context("spawn")
SEEDS = 10
STAGES = 7  # for each guidance and seed: a set of images, its alignment, an amplifier, two classifiers and evaluations
SHARE = {"aligned_share": 0.99, "right_class_share": 0.99, "precision": 1.0, "recall": 0.9, "auroc": 0.99}
ACCURACY = {"average_accuracy": 0.9, "aligned_accuracy": 1.0, "conflicting_accuracy": 0.8, "worst_group_accuracy": 0.7}
NUMBERS = {"evaluation": ("metrics", ACCURACY), "amplifier": ("quality", SHARE), "alignment": ("alignment", SHARE)}
COMMANDS = {"status": ["status"], "run --dry-run": ["run", "--dry-run"], "table": ["table"]}


@dataclass(frozen=True)
class Cost:
    """Of one command: seconds by the clock and of the CPU, peak of resident memory in MB."""

    wall: float
    cpu: float
    memory: float


def make_store(directory: Path, stages: int, seeds: int = SEEDS) -> tuple[Path, int]:
    """A configuration and, in `directory`/runs, its finished store: the file, and the number of its stages."""
    points = max(1, round(stages / (STAGES * seeds)))
    values = {
        "seeds": list(range(seeds)),
        "methods": {"ddb_two_step": {}, "ddb_end_to_end": {}},
        "memorisation": False,
        "vary": {"sampling.guidance": [i / 100 for i in range(points)]},
    }
    config = directory / "large.yaml"
    config.write_text(yaml.safe_dump(values))
    store, all_stages = Store(directory / "runs"), build_graph(load(config)).stages()
    for stage in all_stages:
        result = store.path(stage)
        result.mkdir(parents=True)
        if stage.name in NUMBERS:
            name, numbers = NUMBERS[stage.name]
            (result / f"{name}.json").write_text(json.dumps(numbers, indent=1))
        write_record(stage, result, time.time(), {})
    return config, len(all_stages)


def measure(arguments: list[str]) -> Cost:
    """Run `ddb ARGUMENTS` once. Raises CalledProcessError where it fails."""
    command, began = [sys.executable, "-m", "ray_jobs.cli", *arguments], time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, default=1000, help="finished stages, about")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each command")
    parser.add_argument("--command", choices=list(COMMANDS), action="append", help="only this one; default: all")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(1, SPAWN) as pool:
        config, stages = pool.submit(make_store, Path(name), arguments.stages).result()
        print(f"{stages} finished stages")
        for command in arguments.command or COMMANDS:
            asked = [*COMMANDS[command], str(config), "--store", f"{name}/runs"]
            costs = [measure(asked) for _ in range(arguments.rounds)]
            wall, cpu, memory = min(c.wall for c in costs), min(c.cpu for c in costs), max(c.memory for c in costs)
            print(f"ddb {command:14} {wall:6.2f} s  {cpu:6.2f} s of CPU  {memory:5.0f} MB", flush=True)
