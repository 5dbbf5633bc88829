"""The temporary directory, Ray's command line and environment, and the end of everything that was started."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from slurm.grant import Grant
from slurm.log import LaunchError
from slurm.ray_node import LOCK, LONGEST, PREFIX, private_environment, start_command, temporary_directory

NODE = Grant("n2", ["n1", "n2"], 4, 2, 8 * 2**30, 2 * 2**30, "127.0.0.1", "lo")
PYTHON = Path("/env/bin/python")


def test_the_temporary_directory_is_private_short_and_removed():
    long = "/scratch/" + 40 * "x"
    with temporary_directory({"TMPDIR": "/tmp"}) as first, temporary_directory({"TMPDIR": long}) as second:
        assert first != second and oct(first.stat().st_mode)[-3:] == "700"
        assert [path.name for path in first.iterdir()] == [LOCK] and first.name.startswith(PREFIX)
        assert second.parent == Path("/tmp")
        # Ray's longest socket below: session name and socket have up to 64 bytes, of the 107 that a path may have.
        assert LONGEST + len(f"/{first.name}/r") + 64 <= 107
    assert not first.exists() and not second.exists()
    with pytest.raises(LaunchError, match=f"DDB_TMPDIR={long}: too long .* at most 28 bytes$"):
        temporary_directory({"DDB_TMPDIR": long}).__enter__()
    with pytest.raises(LaunchError, match=r"temporary directory in /proc: .*; set DDB_TMPDIR"):
        temporary_directory({"DDB_TMPDIR": "/proc"}).__enter__()


def test_directories_of_killed_launchers_are_removed_and_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("slurm.ray_node.LONGEST", 200)
    with temporary_directory({"DDB_TMPDIR": str(tmp_path)}) as running:
        killed, starting, elsewhere = (tmp_path / name for name in ("ddb-killed", "ddb-starting", "elsewhere"))
        for directory in (killed, starting, elsewhere):
            directory.mkdir()
        for directory in (killed, elsewhere):
            (directory / LOCK).touch()  # a lock file that no process holds
        link = tmp_path / "ddb-link"  # another user's trap: the lock file behind it is ours
        link.symlink_to(elsewhere)
        with temporary_directory({"DDB_TMPDIR": str(tmp_path)}) as new:
            assert set(tmp_path.iterdir()) == {running, starting, elsewhere, link, new}
        assert (elsewhere / LOCK).exists()


def test_ray_starts_with_the_grant_and_with_free_ports(tmp_path):
    worker, head = (start_command(PYTHON, NODE, address, tmp_path) for address in ("127.0.0.9:6000", None))
    resources = {"--num-cpus=4", "--num-gpus=2", f"--memory={6 * 2**30}", f"--object-store-memory={2 * 2**30}"}
    for command in (worker, head):
        assert resources | {"--node-name=n2", "--min-worker-port=0", "--max-worker-port=0", "--block"} < set(command)
    assert "--address=127.0.0.9:6000" in worker and "--head" not in worker
    assert {"--head", "--port=0", "--dashboard-port=0"} < set(head)


def test_address_and_token_of_another_cluster_are_dropped(tmp_path):
    foreign = {"RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_TOKEN": "old", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
    kept = {"CUDA_VISIBLE_DEVICES": "3", "HOME": "/h", "RAY_worker_niceness": "5", "DDB_REQUEUE": "1"}
    inherited = foreign | kept | {"DDB_INTERRUPT_FILE": "/tmp/old", "PATH": "/bin"}
    ours = private_environment(inherited, tmp_path / "token", NODE, tmp_path, PYTHON)
    assert not set(foreign) & set(ours) and kept.items() <= ours.items()
    assert ours["RAY_AUTH_MODE"] == "token" and ours["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "token")
    assert ours["GLOO_SOCKET_IFNAME"] == "lo" and ours["DDB_INTERRUPT_FILE"] == str(tmp_path / "interrupt")
    assert ours["PATH"] == "/env/bin:/bin"
    alone = private_environment(inherited, tmp_path / "token", replace(NODE, nodes=["n2"]), tmp_path, PYTHON)
    assert alone["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"  # loopback only


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
