"""Two runs of one experiment on one store, each with a Ray of its own, as two jobs of an array are."""

import os
import re
import subprocess
import sys
from collections import Counter

import pytest
import yaml

from ddb.experiment.config_file import load
from ddb.experiment.graph import build_graph
from ddb.store import Store
from tests.ray_jobs.conftest import SMALL

pytestmark = [pytest.mark.cluster, pytest.mark.long]  # tests/slurm/test_sharing.py shows the same with an array
OURS = re.compile(r": \d+ s -> (\S+)$", re.MULTILINE)  # what the console says of a stage that this run computed


def test_two_runs_share_the_stages_and_compute_each_once(tmp_path):
    path, store = tmp_path / "small.yaml", Store(tmp_path / "runs")
    methods = {f"erm {i}": {"method": "erm", "steps": 400 + i} for i in range(6)}
    path.write_text(yaml.safe_dump(SMALL | {"methods": methods}))
    script = ("import functools; from ray_jobs import cluster, job; "
              "job.connected = functools.partial(cluster.connected, num_cpus=1); job.main(None, '')")  # fmt: skip
    command = [sys.executable, "-c", script, str(path), "--store", str(store.root)]
    runs = []
    for task in range(2):
        array = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": "2", "RAY_worker_niceness": "0"}
        runs.append(subprocess.Popen(command, env=os.environ | array, stdout=subprocess.PIPE, text=True))
    printed = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], printed
    computed = [OURS.findall(text) for text in printed]
    wanted = [f"{stage.name}/{stage.key}" for stage in build_graph(load(path)).stages()]
    assert Counter(computed[0] + computed[1]) == Counter(wanted) and all(computed)
