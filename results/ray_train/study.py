"""Speed of CDPM training through Ray Train with one worker, relative to the same loop in a plain process.

    python results/ray_train/study.py

The two alternate, each run in a process and a store of its own. A run's speed is the median of the steps per second
that it logs, without the first interval. Prints the mean ratio over the rounds with its 95 % confidence interval.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from scipy.stats import sem, t

DOORS = {
    "plain": (["ray_jobs.cli", "run"], ["--local", "--only", "cdpm"]),
    "ray": (["ray_jobs.train_cdpm"], []),
}


def steps_per_second(door: str, settings: list[str]) -> float:
    """Train once and read the run's log."""
    module, options = DOORS[door]
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-m", *module, "configs/colored_digits.yaml", *settings, *options, "--store", store]
        environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}  # what `ray_jobs` sets, and slower than the default
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        (stage,) = Path(store, "cdpm").iterdir()
        batch = json.loads((stage / "record.json").read_text())["config"]["cdpm"]["batch_size"]
        logged = [json.loads(line)["images_per_second"] for line in (stage / "losses.jsonl").read_text().splitlines()]
    return median(logged[1:]) / batch


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each")
    parser.add_argument("--steps", type=int, default=100, help="CDPM steps of each run, at least 40")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings to change")
    arguments = parser.parse_intermixed_args()  # settings may also follow an option
    settings = ["seeds=[0]", f"cdpm.steps={arguments.steps}", "resources.cdpm_workers=1", *arguments.settings]
    rates: dict[str, list[float]] = {door: [] for door in DOORS}
    for _ in range(arguments.rounds):
        for door, found in rates.items():
            found.append(steps_per_second(door, settings))
    for door, found in rates.items():
        print(f"{door:5} {median(found):6.2f} steps per second; runs: {', '.join(f'{rate:.2f}' for rate in found)}")
    ratios = np.array(rates["ray"]) / np.array(rates["plain"])
    line = f"ray / plain: {ratios.mean():.2f}"
    if len(ratios) > 1:
        low, high = t.interval(0.95, len(ratios) - 1, ratios.mean(), sem(ratios))
        line += f" [{low:.2f}, {high:.2f}]"
    print(f"{line} ({len(ratios)})")
