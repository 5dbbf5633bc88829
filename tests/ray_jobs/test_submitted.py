"""Job modules on a Ray that is there already, handed over by `ray job submit`."""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import yaml

from ddb.experiment.config_file import load
from ddb.experiment.graph import build_graph
from ddb.store import Store
from tests.printed_commands import JOB_SERVER, WAYS, line, run_by
from tests.ray_jobs.conftest import SMALL

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.long,
    pytest.mark.skipif(
        find_spec("aiohttp_cors") is None, reason="Ray's job server is not installed: pip install 'ray[default]'"
    ),
]
RAY = str(Path(sys.executable).with_name("ray"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Environment in which `ray job submit` finds a Ray with two CPUs on loopback, started by somebody else."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        dashboard, client = first.getsockname()[1], second.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "DDB_INTERRUPT"))}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_worker_niceness": "0",
    }
    # The ports that Ray takes by default may be those of the tests' own Ray.
    options = ["--port=0", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}", "--num-cpus=2"]
    options += [f"--{name}-port=0" for name in ("dashboard-agent-listen", "dashboard-agent-grpc", "metrics-export")]
    log = tmp_path_factory.mktemp("ray") / "start.log"
    with open(log, "w") as file:
        head = subprocess.Popen(
            [RAY, "start", "--head", "--block", "--node-ip-address=127.0.0.1", "--disable-usage-stats", *options],
            env=environment, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    while "Ray runtime started" not in log.read_text():
        assert head.poll() is None, log.read_text()
        time.sleep(0.1)
    yield environment | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
    started = [head, *psutil.Process(head.pid).children(recursive=True)]
    for process in started:  # on SIGTERM they would take half a minute for goodbyes
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    head.wait()


def submitted(line, environment):
    """What a shell makes of a line with `ray job submit`."""
    while True:  # the job server's agent starts after Ray
        done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True)
        if "No available agent" not in done.stdout + done.stderr:
            break
        time.sleep(1)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_an_experiment_runs_as_a_submitted_job(cluster, tmp_path):
    path, store = tmp_path / "small.yaml", Store(tmp_path / "runs")
    path.write_text(yaml.safe_dump(SMALL | {"methods": {"erm": {}}}))
    job = "ray job submit --working-dir . -- python -m ray_jobs.runner"
    submitted(f"{job} {path} --store {store.root}", cluster)
    graph = build_graph(load(path))
    assert {stage.name for stage in graph.stages() if store.has(stage)} == {"data", "classifier", "evaluation"}
    metrics = json.loads((store.path(graph.cells[0].stage) / "metrics.json").read_text())
    assert 0 <= metrics["average_accuracy"] <= 1


@pytest.mark.parametrize("command", run_by(JOB_SERVER))
def test_a_printed_command_runs_as_a_submitted_job(command, cluster, tmp_path):
    submitted(f"{line(command)} --store {tmp_path}/runs", cluster)
    assert list((tmp_path / "runs").glob(WAYS[command].makes))


def test_a_mistake_is_the_jobs_failure_and_its_last_line(cluster, tmp_path):
    job = [RAY, "job", "submit", "--working-dir", ".", "--", "python", "-m", "ray_jobs.sweep", "nowhere.yaml"]
    done = subprocess.run(job, env=cluster, capture_output=True, text=True)
    assert done.returncode != 0 and "configuration nowhere.yaml: No such file or directory" in done.stdout + done.stderr
