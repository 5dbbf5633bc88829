"""Ports, the temporary directory, the environment, and the end of everything that was started."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from slurm.allocation import Allocation
from slurm.errors import LaunchError
from slurm.ray_node import (
    LIMIT,
    LOCK,
    PREFIX,
    RayNode,
    free_ports,
    port_names,
    private_environment,
    remove_abandoned,
    start_command,
    temporary_directory,
)
from tests.slurm.conftest import until

NODE = Allocation("77.1", "n2", 1, 2, 4, 2, 4, 8 * 2**30, 2 * 2**30, "127.0.0.1", "lo")
PYTHON = Path(sys.executable)


def test_free_ports_are_different_and_not_taken():
    ports = free_ports("127.0.0.1", 20)
    assert len(set(ports)) == 20
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def test_the_temporary_directory_is_private_new_and_short():
    long = "/scratch/" + 40 * "x"
    first, second = (temporary_directory({"TMPDIR": place}) for place in ("/tmp", long))
    assert first != second and oct(first.stat().st_mode)[-3:] == "700"
    assert [path.name for path in first.iterdir()] == [LOCK] and first.name.startswith(PREFIX)
    assert second.parent == Path("/tmp") and len(f"{second}/r") <= LIMIT
    for directory in (first, second):
        shutil.rmtree(directory)
    with pytest.raises(LaunchError, match=f"DDB_TMPDIR={long}: 49 bytes are too long .* the limit is 28$"):
        temporary_directory({"DDB_TMPDIR": long})
    with pytest.raises(LaunchError, match=r"temporary directory in /proc: .*; set DDB_TMPDIR"):
        temporary_directory({"DDB_TMPDIR": "/proc"})


def test_directories_of_killed_launchers_are_removed_and_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("slurm.ray_node.LIMIT", 200)
    running = temporary_directory({"DDB_TMPDIR": str(tmp_path)})
    killed, starting, elsewhere = (tmp_path / name for name in ("ddb-killed", "ddb-starting", "elsewhere"))
    for directory in (killed, starting, elsewhere):
        directory.mkdir()
    for directory in (killed, elsewhere):
        (directory / LOCK).touch()  # a lock file that no process holds
    link = tmp_path / "ddb-link"  # another user's trap: the lock file behind it is ours
    link.symlink_to(elsewhere)
    remove_abandoned(tmp_path)
    assert set(tmp_path.iterdir()) == {running, starting, elsewhere, link} and (elsewhere / LOCK).exists()


def test_ray_is_given_what_was_granted_and_every_port(tmp_path):
    ports = {name: 21000 + i for i, name in enumerate(port_names(head=False))}
    command = start_command(PYTHON, NODE, "127.0.0.9:6000", ports, tmp_path)
    resources = {"--num-cpus=4", "--num-gpus=2", f"--memory={6 * 2**30}", f"--object-store-memory={2 * 2**30}"}
    assert resources < set(command)
    assert {"--address=127.0.0.9:6000", "--min-worker-port=0", "--max-worker-port=0", "--block"} < set(command)
    assert {f"--{name}={port}" for name, port in ports.items()} < set(command) and "--head" not in command
    ports = {name: 21000 + i for i, name in enumerate(port_names(head=True))}
    command = start_command(PYTHON, NODE, None, ports, tmp_path)
    assert {"--head", "--dashboard-host=127.0.0.1", "--port=21000"} < set(command)


def test_another_clusters_address_and_token_are_not_passed_on(tmp_path):
    foreign = {"RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_TOKEN": "old", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
    kept = {"CUDA_VISIBLE_DEVICES": "3", "HOME": "/h", "RAY_worker_niceness": "5"}
    inherited = foreign | kept | {"DDB_INTERRUPT_FILE": "/tmp/old"}
    ours = private_environment(inherited, tmp_path / "token", NODE, tmp_path / "flag")
    assert not set(foreign) & set(ours) and kept.items() <= ours.items()
    assert ours["RAY_AUTH_MODE"] == "token" and ours["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "token")
    assert ours["GLOO_SOCKET_IFNAME"] == "lo" and ours["DDB_INTERRUPT_FILE"] == str(tmp_path / "flag")
    alone = private_environment(inherited, tmp_path / "token", replace(NODE, nodes=1), tmp_path / "flag")
    assert alone["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"  # loopback only


@pytest.fixture
def node(tmp_path):
    node = RayNode(PYTHON, NODE, tmp_path, tmp_path / "n2.log", dict(os.environ))
    yield node
    node.process.kill()
    node.process.wait()


def start(node, *commands, seconds=60):
    """`node.start` with these commands instead of Ray's, one per attempt: the ports of every attempt.

    Each command has printed something before its time limit is checked, however busy the machine is.
    """
    tried = []

    def command(python, allocation, head, ports, directory):
        tried.append(ports)
        return ["bash", "-c", commands[min(len(tried), len(commands)) - 1]]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("slurm.ray_node.start_command", command)
        node.start(None, seconds, lambda: not until(node.log.read_text, node.log))
    return tried


UP, TAKEN = "echo Ray runtime started; sleep 300", "echo Address already in use; exit 1"


def test_a_start_is_repeated_on_other_ports_if_a_port_was_taken(node):
    first, second, third = start(node, TAKEN, TAKEN, UP)
    assert node.alive and first != second != third and node.ports == third


@pytest.mark.parametrize(
    ("command", "seconds", "message"),
    [
        (TAKEN, 60, "Ray could not start on n2:\nAddress already in use"),
        ("echo slowly; sleep 300", 0.5, r"Ray did not start on n2 within 0 s \(DDB_START_TIMEOUT\):\nslowly"),
    ],
)
def test_a_failed_start_is_reported_with_the_end_of_its_log(node, command, seconds, message):
    with pytest.raises(LaunchError, match=message):
        start(node, command, seconds=seconds)


SCRIPT = """
import os, subprocess, sys
from slurm.ray_node import adopt_orphans, end_descendants, start_process
adopt_orphans()
nested = "trap '' TERM; (setsid sleep 301 & sleep 302 & wait)"  # deaf to SIGTERM, in another session
child = start_process(["bash", "-c", nested], os.environ)
print(child.pid, flush=True)
sys.stdin.readline()
end_descendants()
print("over", flush=True)
"""


def test_descendants_end_also_those_that_left_the_group_and_are_deaf_to_sigterm_and_nobody_else():
    other = subprocess.Popen(["sleep", "303"])
    launcher = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child = int(launcher.stdout.readline())
    while len(psutil.Process(launcher.pid).children(recursive=True)) < 3:
        time.sleep(0.05)
    for number in (signal.SIGUSR1, signal.SIGTERM):  # what SLURM sends to every process of a step
        os.kill(child, number)
    time.sleep(0.2)
    started = psutil.Process(launcher.pid).children(recursive=True)
    assert child in {process.pid for process in started}
    launcher.stdin.write("\n")
    launcher.stdin.flush()
    assert launcher.stdout.readline() == "over\n" and launcher.wait() == 0
    assert not [process for process in started if process.is_running()]
    assert other.poll() is None
    other.kill()
    other.wait()
