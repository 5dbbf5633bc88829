"""A job array on one store: its tasks share the stages out, and one that is warned comes back alone."""

import itertools
import re
import sys

import pytest

from ddb.experiment.config_file import load
from ddb.experiment.graph import build_graph
from ddb.store import Store
from tests.slurm.conftest import FINAL, experiment, until

pytestmark = pytest.mark.slurm
COMPUTED = re.compile(r"\d+ s -> (\S+/\S+)")


def task_log(directory, job, task):
    path = directory / f"{job}_{task}.log"
    return path.read_text() if path.exists() else ""


def test_three_tasks_of_an_array_compute_every_stage_once_and_one_is_requeued_alone(slurm, tmp_path):
    path = experiment(tmp_path)
    settings = ["methods={erm: {}}", f"seeds={list(range(1, 31))}"]
    options = ("--array=0-2", "--nodes=1", "--cpus-per-task=1", f"--output={tmp_path}/%A_%a.log", "slurm/ddb.sbatch")
    variables = {"DDB_STORE": str(tmp_path / "runs"), "DDB_PYTHON": sys.executable}
    job = slurm.sbatch(*options, "run", str(path), *settings, "-v", **variables)
    store = Store(tmp_path / "runs")
    stages = build_graph(load(path, settings)).stages()

    def state(task):
        return slurm.job(f"{job}_{task}")

    # The last task, whose number is the array's too: requeued by that, the others would be with it.
    until(lambda: len(COMPUTED.findall(task_log(tmp_path, job, 2))) >= 1, tmp_path / f"{job}_2.log")
    assert state(2)["JobId"] == str(job)
    slurm.call("scancel", "--signal=USR1", f"{job}_2")
    over = (*FINAL, "PENDING")
    until(lambda: all(state(task)["JobState"] in over for task in range(3)), tmp_path / f"{job}_0.log")
    assert [state(task)["Restarts"] for task in range(3)] == ["0", "0", "1"]
    logs = [task_log(tmp_path, job, task) for task in range(3)]
    for task in (0, 1):
        assert state(task)["JobState"] == "COMPLETED", logs[task]
    computed = [COMPUTED.findall(log) for log in logs]
    assert all(computed), logs
    assert sorted(itertools.chain(*computed)) == sorted(f"{stage.name}/{stage.key}" for stage in stages)
    assert all(store.has(stage) for stage in stages)
