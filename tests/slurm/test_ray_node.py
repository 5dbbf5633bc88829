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

NODE = Allocation("77.1", "n2", 1, 2, 4, 2, 4, 8 * 2**30, 2 * 2**30, "127.0.0.1", "lo")
PYTHON = Path(sys.executable)


def test_ports_are_different_and_free():
    ports = free_ports("127.0.0.1", 20, None)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", port))


def test_a_taken_port_of_a_range_is_passed_over_and_a_full_range_is_named():
    (first,) = free_ports("127.0.0.1", 1, None)
    first = min(first, 65000)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", first))
        taken.listen()
        found = free_ports("127.0.0.1", 3, f"{first}-{first + 40}")
        assert first not in found and all(first < port <= first + 40 for port in found)
        with pytest.raises(LaunchError, match=f"DDB_PORTS={first}-{first}: 0 of these ports are free .* needs 2"):
            free_ports("127.0.0.1", 2, f"{first}-{first}")


@pytest.mark.parametrize("allowed", ["20000", "20000-", "30000-20000", "80-90", "65000-70000", "a-b"])
def test_a_malformed_range_is_refused(allowed):
    with pytest.raises(LaunchError, match=f"DDB_PORTS={allowed}: must be a range"):
        free_ports("127.0.0.1", 1, allowed)


def test_directories_are_private_empty_and_of_names_that_nobody_guesses():
    first, second = (temporary_directory({"TMPDIR": "/tmp"}) for _ in range(2))
    assert first != second and oct(first.stat().st_mode)[-3:] == "700"
    assert [path.name for path in first.iterdir()] == [LOCK] and first.name.startswith(PREFIX)
    for directory in (first, second):
        shutil.rmtree(directory)


def test_a_long_tmpdir_gives_way_and_a_long_wish_is_refused_with_the_limit():
    long = "/scratch/" + 40 * "x"
    directory = temporary_directory({"TMPDIR": long})
    assert directory.parent == Path("/tmp") and len(f"{directory}/r") <= LIMIT
    shutil.rmtree(directory)
    with pytest.raises(LaunchError, match=f"DDB_TMPDIR={long}: 49 bytes are too long .* the limit is 28$"):
        temporary_directory({"DDB_TMPDIR": long})
    with pytest.raises(LaunchError, match=r"temporary directory in /proc: .*; set DDB_TMPDIR"):
        temporary_directory({"DDB_TMPDIR": "/proc"})


def test_what_a_killed_launcher_left_is_removed_and_what_a_running_one_has_is_not(tmp_path):
    script = f"""
import time
from slurm import ray_node
ray_node.LIMIT = 200
print(ray_node.temporary_directory({{"DDB_TMPDIR": {str(tmp_path)!r}}}), flush=True)
time.sleep(60)
"""
    launchers = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (Path(launcher.stdout.readline().strip()) for launcher in launchers)
    (tmp_path / "ddb-fresh").mkdir()  # of a launcher that has not come to its lock yet
    link = tmp_path / "ddb-link"  # a trap of somebody else's: the lock file behind it would be ours
    link.symlink_to(second)
    launchers[0].kill()
    launchers[0].wait()
    remove_abandoned(tmp_path)
    assert set(tmp_path.iterdir()) == {second, tmp_path / "ddb-fresh", link} and first != second
    launchers[1].kill()
    launchers[1].wait()


def test_ray_is_given_what_was_granted_and_every_port(tmp_path):
    ports = {name: 21000 + i for i, name in enumerate(port_names(head=False))}
    command = start_command(PYTHON, NODE, "127.0.0.9:6000", ports, tmp_path)
    assert {"--num-cpus=4", "--num-gpus=2", f"--memory={6 * 2**30}", f"--object-store-memory={2 * 2**30}"} < set(
        command
    )
    assert {"--address=127.0.0.9:6000", "--min-worker-port=0", "--max-worker-port=0", "--block"} < set(command)
    assert {f"--{name}={port}" for name, port in ports.items()} < set(command) and "--head" not in command
    ports = {name: 21000 + i for i, name in enumerate(port_names(head=True))}
    command = start_command(PYTHON, NODE, None, ports, tmp_path)
    assert {"--head", "--dashboard-host=127.0.0.1", "--port=21000"} < set(command)


def test_another_clusters_address_and_token_are_not_passed_on(tmp_path):
    inherited = {"RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_TOKEN": "old", "CUDA_VISIBLE_DEVICES": "3", "HOME": "/h"}
    inherited |= {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "DDB_INTERRUPT_FILE": "/tmp/old",
        "RAY_worker_niceness": "0",
    }
    ours = private_environment(inherited, tmp_path / "token", NODE, tmp_path / "flag")
    assert "RAY_ADDRESS" not in ours and "RAY_AUTH_TOKEN" not in ours
    assert ours["RAY_AUTH_MODE"] == "token" and ours["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "token")
    assert ours["CUDA_VISIBLE_DEVICES"] == "3" and ours["GLOO_SOCKET_IFNAME"] == "lo"
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in ours and ours["DDB_INTERRUPT_FILE"] == str(tmp_path / "flag")
    assert ours["RAY_worker_niceness"] == "0"  # a setting of the user's, which ties to nothing
    alone = private_environment(inherited, tmp_path / "token", replace(NODE, nodes=1), tmp_path / "flag")
    assert alone["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"  # loopback only


def started(node, *commands, seconds=20):
    """`start` with these commands for Ray's, one after the other: the ports of every attempt."""
    tried = []

    def command(python, allocation, head, ports, directory):
        tried.append(ports)
        return ["bash", "-c", commands[min(len(tried), len(commands)) - 1]]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("slurm.ray_node.start_command", command)
        node.start(None, seconds, lambda: False)
    return tried


UP, TAKEN = "echo Ray runtime started; sleep 60", "echo Address already in use; exit 1"


def test_a_start_whose_port_was_taken_meanwhile_is_tried_again_on_others(tmp_path):
    node = RayNode(PYTHON, NODE, tmp_path, tmp_path / "n2.log", dict(os.environ))
    first, second, third = started(node, TAKEN, TAKEN, UP)
    assert node.alive and not set(first.values()) & set(second.values()) and node.ports == third
    node.process.kill()
    node.process.wait()


@pytest.mark.parametrize(
    ("command", "seconds", "message"),
    [
        (TAKEN, 20, "Ray could not start on n2:\nAddress already in use"),
        ("echo slowly; sleep 60", 0.5, r"Ray did not start on n2 within 0 s \(DDB_START_TIMEOUT\):\nslowly"),
    ],
)
def test_a_ray_that_does_not_come_up_is_told_with_the_end_of_its_log(tmp_path, command, seconds, message):
    node = RayNode(PYTHON, NODE, tmp_path, tmp_path / "n2.log", dict(os.environ))
    with pytest.raises(LaunchError, match=message):
        started(node, command, seconds=seconds)
    node.process.kill()
    node.process.wait()


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
    assert launcher.stdout.readline() == "over\n" and launcher.wait(timeout=20) == 0
    assert not [process for process in started if process.is_running()]
    assert other.poll() is None
    other.kill()
    other.wait()
