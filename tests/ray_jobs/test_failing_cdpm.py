"""A CDPM whose workers cannot even meet gives everything back: on a Ray of its own, since its environment is broken."""

import os
import subprocess
import sys

import pytest
import yaml

from ddb.experiment.config_file import load
from ddb.experiment.graph import build_graph
from ddb.store import Store
from tests.ray_jobs.conftest import SMALL

pytestmark = [pytest.mark.cluster, pytest.mark.long]


def test_after_a_failed_cdpm_the_rest_goes_on_and_the_run_ends(tmp_path):
    """Its two workers hold both CPUs: what else there is could not begin if they were not given back."""
    path, store = tmp_path / "small.yaml", Store(tmp_path / "runs")
    changes = {"methods": {"erm": {}, "ddb_two_step": {}}, "resources": SMALL["resources"] | {"cdpm_workers": 2}}
    path.write_text(yaml.safe_dump(SMALL | changes))
    command = [sys.executable, "-c", "import sys; from ray_jobs import cluster, job; import contextlib, functools; "
               "job.connected = functools.partial(cluster.connected, num_cpus=2); job.main(None, '')",
               str(path), "--store", str(store.root)]  # fmt: skip
    environment = os.environ | {"GLOO_DEVICE_TRANSPORT": "PIGEON", "RAY_worker_niceness": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    graph = build_graph(load(path))
    cells = {cell.method: cell.stage for cell in graph.cells}
    assert store.has(cells["erm"]) and not store.has(cells["ddb_two_step"])
    (cdpm,) = (stage for stage in graph.stages() if stage.name == "cdpm")
    whole = store.failure(cdpm)
    assert "_setup_torch_process_group" in whole
    (line,) = (line for line in done.stdout.splitlines() if "FAILED" in line)
    assert "unsupported gloo device" in line and "Traceback" not in done.stdout + done.stderr
    assert str(store.failure_path(cdpm)) in done.stderr
