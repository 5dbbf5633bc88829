"""Whole jobs on a real SLURM with two nodes: their tables, what they survive, what they leave behind.

Every test compares with the same experiment without SLURM, computed once by `ddb run` on a Ray of its own.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from ddb.experiment.config_file import load
from ddb.experiment.graph import build_graph
from ddb.store import Store
from tests.ray_jobs.conftest import stage_of, weights
from tests.slurm.conftest import FINAL, experiment, log, start_and_end_a_launcher, submitted, until

pytestmark = pytest.mark.slurm
STEPS = 400


def locally(path, store, module="ray_jobs.runner"):
    """The same experiment without SLURM."""
    command = [sys.executable, "-m", module, str(path), "--store", str(store)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    directory = tmp_path_factory.mktemp("reference")
    # So many batches, none of them quick, that the actor which is ready first cannot draw them all.
    drawing = {"sampling": {"images_per_class": 10, "sampler_steps": 30}, "resources": {"sampling_batch": 2}}
    path = experiment(directory, cdpm={"steps": STEPS}, **drawing)
    locally(path, directory / "runs")
    return path, Store(directory / "runs")


def stage(path, name):
    return stage_of(build_graph(load(path)), name)


def metrics(store, path):
    cells = build_graph(load(path)).cells
    return {cell.method: json.loads((store.path(cell.stage) / "metrics.json").read_text()) for cell in cells}


def training_step(store, path):
    """How far CDPM training says it is."""
    losses = store.work_path(stage(path, "cdpm")) / "resume" / "losses.jsonl"
    lines = losses.read_text().splitlines() if losses.exists() else []
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


ATTACK = """
import os, ray
ray.init(os.environ["RAY_ADDRESS"], log_to_driver=False)
print("ran", ray.get(ray.remote(num_cpus=0)(lambda: os.getuid()).remote()))
"""


def attack(address, node_address, environment, user):
    """Code of another user that tries to run on the job's Ray: what it printed."""
    script = f"import ray._private.services\n{ATTACK}".replace("log_to", f"_node_ip_address={node_address!r}, log_to")
    variables = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "RAY_ADDRESS": address, **environment}
    command = ["setpriv", f"--reuid={user}", "--clear-groups", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, cwd="/")
    return done.stdout, done.stderr


def knock(job):
    """What each port that a process of the job listens on says to somebody who asks for metrics; by address."""
    answers = {}
    for process in psutil.process_iter():
        try:
            if process.environ().get("SLURM_JOB_ID") != str(job):
                continue
            listening = [each.laddr for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN]
        except psutil.Error:
            continue
        for address in listening:
            with contextlib.suppress(OSError), socket.create_connection(address, timeout=2) as connection:
                connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                answers[address] = b""
                answers[address] = connection.recv(4096)
    return answers


@pytest.mark.long
def test_two_jobs_share_both_nodes_one_is_cancelled_and_the_others_table_is_that_without_slurm(
    slurm, reference, tmp_path
):
    path, expected = reference
    directories = [tmp_path / name for name in ("first", "second")]
    for directory in directories:
        directory.mkdir()
    # An address of somebody else's Ray in the environment is not followed.
    first = submitted(slurm, directories[0], "run", path, RAY_ADDRESS="127.0.0.1:9")
    second = submitted(slurm, directories[1], "run", path)
    for directory, job in zip(directories, (first, second), strict=True):
        until(lambda d=directory, j=job: "all 2 nodes have run a task" in log(d, j), directory / f"{job}.log")
    address = (directories[0] / "runs" / "slurm" / f"{first}.0" / "head").read_text()
    token = directories[0] / "runs" / "slurm" / f"{first}.0" / "token"

    # Another user cannot read the token, and without it or with the other job's runs nothing.
    reading = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "cat", token], capture_output=True)
    assert reading.returncode != 0 and not reading.stdout
    other = (directories[1] / "runs" / "slurm" / f"{second}.0" / "token").read_text()
    node = address.partition(":")[0]
    for secret in (other, "0" * 64):
        printed, complaint = attack(address, node, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secret}, os.getuid())
        assert "ran" not in printed and "InvalidAuthToken" in complaint
    right = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token.read_text()}
    printed, complaint = attack(address, node, right, os.getuid())
    assert printed == "ran 0\n", complaint  # so that it was the token, and nothing else, that kept them out

    answers = knock(first)
    assert len(answers) > 5 and not [port for port, said in answers.items() if b"# HELP" in said or b"200 OK" in said]

    # Of both nodes, as the job's own Ray sees them: what it says of itself is some seconds old.
    until(lambda: "/2.0 CPU" in slurm.call("slurm/attach", str(first), "ray", "status"), tmp_path / "no log")

    slurm.call("scancel", str(second))
    assert slurm.wait(second)["JobState"] == "CANCELLED"
    done = slurm.wait(first)
    assert (done["JobState"], done["ExitCode"]) == ("COMPLETED", "0:0"), log(directories[0], first)
    store = Store(directories[0] / "runs")
    assert metrics(store, path) == metrics(expected, path)
    assert torch.equal(weights(store, stage(path, "cdpm")), weights(expected, stage(path, "cdpm")))
    for name in ("cdpm", "synthetic"):
        assert store.record(stage(path, name))["nodes"] == ["n1", "n2"]
    files = store.root / "slurm" / f"{first}.0"
    assert list((files / "ray" / "n1").glob("gcs_server*")) and list((files / "ray" / "n2").glob("raylet*"))
    assert not token.exists()


def test_sigusr1_requeues_and_the_cdpm_is_that_of_an_uninterrupted_run(slurm, tmp_path):
    """What SLURM sends before the time limit, sent by hand to every process of the step."""
    path = experiment(tmp_path, cdpm={"steps": STEPS})
    expected, store = Store(tmp_path / "whole"), Store(tmp_path / "runs")
    locally(path, expected.root, "ray_jobs.train_cdpm")
    job = submitted(slurm, tmp_path, "run", path)
    until(lambda: training_step(store, path) >= 60, tmp_path / f"{job}.log")
    slurm.call("scancel", "--signal=USR1", str(job))
    slurm.wait(job, ("PENDING",))
    assert store.interrupted(stage(path, "cdpm")) and training_step(store, path) >= 60
    slurm.wait(job, ("RUNNING",))
    until(lambda: store.has(stage(path, "cdpm")), tmp_path / f"{job}.log")
    assert slurm.job(job)["Restarts"] == "1" and log(tmp_path, job).count("requeued, to resume") == 1
    assert torch.equal(weights(store, stage(path, "cdpm")), weights(expected, stage(path, "cdpm")))
    slurm.call("scancel", str(job))
    slurm.wait(job)


@pytest.mark.long
def test_a_node_that_goes_down_costs_no_more_than_the_steps_since_the_last_checkpoint(slurm, reference, tmp_path):
    path, _ = reference
    store = Store(tmp_path / "runs")
    job = submitted(slurm, tmp_path, "run", path)
    until(lambda: training_step(store, path) >= 60, tmp_path / f"{job}.log")
    slurm.call("scontrol", "update", "nodename=n2", "state=down", "reason=test")  # it comes back by itself, without us
    done = slurm.wait(job)
    start_and_end_a_launcher()
    assert (done["JobState"], done["ExitCode"]) == ("COMPLETED", "0:0"), log(tmp_path, job)
    assert len(metrics(store, path)) == 2
    record = store.record(stage(path, "cdpm"))
    assert (record["workers"], record["nodes"]) == (1, ["n1"])
    steps = [json.loads(line)["step"] for line in (store.path(stage(path, "cdpm")) / "losses.jsonl").open()]
    assert steps[-1] == STEPS and len(steps) - len(set(steps)) <= 4  # logged every 20 steps, checkpoints every 50


def first_screen(directory, job):
    return "\n".join(log(directory, job).splitlines()[:24])


@pytest.mark.long
def test_a_mistake_in_the_configuration_is_the_jobs_exit_code(slurm, tmp_path):
    path = experiment(tmp_path, cdpm={"stepz": 3})
    job = submitted(slurm, tmp_path, "run", path)
    done = slurm.wait(job, FINAL)
    assert (done["JobState"], done["ExitCode"]) == ("FAILED", "2:0")
    assert "cdpm.stepz: unknown setting; did you mean 'steps'?" in first_screen(tmp_path, job)


@pytest.mark.long
def test_a_ray_that_cannot_start_fails_the_job_with_the_reason(slurm, tmp_path):
    job = submitted(slurm, tmp_path, "doctor", DDB_START_TIMEOUT="0.1")
    done = slurm.wait(job, FINAL)
    assert (done["JobState"], done["ExitCode"]) == ("FAILED", "1:0")
    text = first_screen(tmp_path, job)
    assert "Ray did not start in time (DDB_START_TIMEOUT)" in text
    assert "FAILED: n1: " in text and "Traceback" not in text


@pytest.mark.long
def test_a_node_that_never_joins_fails_the_job_within_the_deadline_and_is_named(slurm, tmp_path):
    """The launcher on n2 is stopped (SIGSTOP) as soon as it runs."""
    job = submitted(slurm, tmp_path, "doctor", DDB_START_TIMEOUT="25")

    def launcher_on_n2():
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                variables = (directory / "environ").read_bytes().split(b"\0")
                command = (directory / "cmdline").read_bytes()
            except OSError:
                continue
            ours = {f"SLURM_JOB_ID={job}".encode(), b"SLURMD_NODENAME=n2"} <= set(variables)
            if ours and b"slurm.node" in command:
                return directory.name
        return None

    subprocess.run(["kill", "-STOP", until(launcher_on_n2, tmp_path / f"{job}.log")], check=True)
    done = slurm.wait(job, FINAL)
    start_and_end_a_launcher()
    assert (done["JobState"], done["ExitCode"]) == ("FAILED", "1:0")
    reason = "FAILED: n1: not all nodes joined Ray in time (DDB_START_TIMEOUT); missing: n2"
    assert reason in first_screen(tmp_path, job)
