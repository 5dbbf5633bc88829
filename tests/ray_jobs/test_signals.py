"""A signal to all processes of a run, as `timeout`, batch systems and systemd send it: the run ends in order.

TMPDIR is long here, as in many a batch job: its name alone would not fit into those of Ray's sockets.
"""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml

from ddb.experiment.config_file import load
from ddb.experiment.graph import build_graph
from ddb.store import Store
from ray_jobs.exit_codes import INTERRUPTED
from tests.ray_jobs.conftest import SMALL

pytestmark = [pytest.mark.cluster, pytest.mark.long]
LONG = "x" * 90


@pytest.fixture
def run(tmp_path):
    """A run of a long training under way, what it has printed, its cell, its store and all its processes."""
    config, long = tmp_path / "erm.yaml", tmp_path / LONG
    config.write_text(yaml.safe_dump(SMALL | {"methods": {"erm": {"steps": 10**6}}}))
    long.mkdir()
    command = [sys.executable, "-m", "ray_jobs.cli", "run", str(config), "--store", str(tmp_path / "runs")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    run = subprocess.Popen(command, **pipes, start_new_session=True, env=os.environ | {"TMPDIR": str(long)})
    (cell,) = build_graph(load(config)).cells
    store, printed = Store(tmp_path / "runs"), ""
    while "classifier erm seed 3: started" not in printed:
        printed += (line := run.stdout.readline())
        assert line, printed
    while not (store.work_path(cell.classifier) / "progress.json").exists():
        assert run.poll() is None
        time.sleep(0.1)
    yield run, printed, cell.classifier, store, psutil.Process(run.pid).children(recursive=True)
    run.kill()


def test_sigterm_to_the_whole_group_interrupts_and_loses_nothing(run, tmp_path):
    run, printed, stage, store, processes = run
    os.killpg(run.pid, signal.SIGTERM)
    printed += run.communicate()[0]
    assert run.returncode == INTERRUPTED, printed
    assert printed.endswith("interrupted: 2 of 3 stages are left; the same command goes on\n")
    assert "Traceback" not in printed and "GCS" not in printed and printed.count("a second signal ends at once") == 1
    assert store.has(stage.inputs["data"]) and store.interrupted(stage) and not store.failure(stage)
    assert processes and not psutil.wait_procs(processes)[1]
    assert not [each for each in (tmp_path / LONG).iterdir() if each.name.startswith("ddb-interrupt")]


def test_a_second_signal_ends_what_does_not_answer_and_leaves_no_process(run):
    run, printed, stage, store, processes = run
    (worker,) = (each for each in processes if each.name().startswith("ray::produce"))
    worker.suspend()
    run.send_signal(signal.SIGINT)
    while "a second signal ends at once" not in printed:
        printed += (line := run.stdout.readline())
        assert line, printed
    while run.poll() is None:  # signals within a second of the first count as one
        run.send_signal(signal.SIGINT)
        time.sleep(0.2)
    printed += run.communicate()[0]
    assert run.returncode == INTERRUPTED
    assert printed.splitlines()[-1] == "interrupted: ended at once by a second signal; the same command goes on"
    assert "Traceback" not in printed and not psutil.wait_procs(processes)[1]
    assert not store.has(stage) and not store.failure(stage)
