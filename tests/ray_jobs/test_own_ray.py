"""Runs on a Ray of their own: one whose environment is broken, and two on one store, as jobs of an array are."""

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

pytestmark = [pytest.mark.cluster, pytest.mark.long]  # tests/slurm/test_sharing.py shows the second with an array
OURS = re.compile(r": \d+ s -> (\S+)$", re.MULTILINE)  # what the console says of a stage that this run computed
SCRIPT = """
import functools, os
from ray_jobs import cluster, job
job.connected = functools.partial(cluster.connected, num_cpus=int(os.environ["CPUS"]))
job.main(None, "")
"""


@pytest.fixture
def start(tmp_path):
    """A function that starts a run of SMALL with some settings changed: the run, its graph and its store."""

    def run(settings, **environment):
        path, store = tmp_path / "small.yaml", Store(tmp_path / "runs")
        path.write_text(yaml.safe_dump(SMALL | settings))
        command = [sys.executable, "-c", SCRIPT, str(path), "--store", str(store.root)]
        variables = os.environ | {"RAY_worker_niceness": "0"} | environment
        process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return process, build_graph(load(path)), store

    return run


def test_after_a_cdpm_whose_workers_cannot_meet_the_rest_goes_on_and_the_run_ends(start):
    """Its two workers hold both CPUs: what else there is could not begin if they were not given back."""
    settings = {"methods": {"erm": {}, "ddb_two_step": {}}, "resources": SMALL["resources"] | {"cdpm_workers": 2}}
    run, graph, store = start(settings, GLOO_DEVICE_TRANSPORT="PIGEON", CPUS="2")
    printed, complaint = run.communicate()
    assert run.returncode == 1, printed[-3000:] + complaint[-3000:]
    cells = {cell.method: cell.stage for cell in graph.cells}
    assert store.has(cells["erm"]) and not store.has(cells["ddb_two_step"])
    (cdpm,) = (stage for stage in graph.stages() if stage.name == "cdpm")
    assert "_setup_torch_process_group" in store.failure(cdpm)
    (line,) = (line for line in printed.splitlines() if "FAILED" in line)
    assert "unsupported gloo device" in line and "Traceback" not in printed + complaint
    assert str(store.failure_path(cdpm)) in complaint


def test_two_runs_share_the_stages_and_compute_each_once(start):
    settings = {"methods": {f"erm {i}": {"method": "erm", "steps": 400 + i} for i in range(6)}}
    started = [
        start(settings, SLURM_ARRAY_TASK_ID=str(task), SLURM_ARRAY_TASK_COUNT="2", CPUS="1") for task in range(2)
    ]
    printed = [run.communicate()[0] for run, *_ in started]
    assert [run.returncode for run, *_ in started] == [0, 0], printed
    computed = [OURS.findall(text) for text in printed]
    wanted = [f"{stage.name}/{stage.key}" for stage in started[0][1].stages()]
    assert Counter(computed[0] + computed[1]) == Counter(wanted) and all(computed)
