"""A local Ray is private: loopback only, never one that is found lying about, and gone afterwards."""

import os
import profile
import subprocess
import sys

import psutil
import pytest
import ray

import ray_jobs

pytestmark = pytest.mark.cluster


def test_every_listening_port_is_on_loopback(capacity):
    assert capacity.cpus == 2
    addresses = set()
    for process in psutil.Process().children(recursive=True):
        for connection in process.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                addresses.add(connection.laddr.ip)
    assert addresses and addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


JOIN = """
import sys, ray
ray.init(sys.argv[1], _node_ip_address="127.0.0.1", log_to_driver=False)
print("ran", ray.get(ray.remote(lambda: 7).remote()))
"""


def test_only_the_holder_of_the_token_runs_code_on_a_local_ray(capacity):
    address = f"127.0.0.1:{ray.get_runtime_context().gcs_address.rpartition(':')[2]}"
    outcomes = []
    for token in (os.environ["RAY_AUTH_TOKEN"], "0" * 64):
        command = [sys.executable, "-c", JOIN, address]
        environment = os.environ | {"RAY_AUTH_TOKEN": token}
        outcomes.append(subprocess.run(command, capture_output=True, text=True, env=environment))
    assert outcomes[0].stdout == "ran 7\n", outcomes[0].stderr[-500:]
    assert outcomes[1].returncode != 0 and not outcomes[1].stdout


LOOK = """
import os, sys
import ray
from ray_jobs.cluster import connected

def look():
    import profile, ray_jobs
    return os.getcwd(), os.getcwd() in sys.path, profile.__file__, ray_jobs.__file__

with connected(num_cpus=1):
    print(*ray.get(ray.remote(look).remote()), sep="\\n")
"""


def test_workers_are_in_the_users_folder_and_import_nothing_from_there(tmp_path):
    folder, script = tmp_path / "work", tmp_path / "scripts" / "look.py"
    folder.mkdir()
    script.parent.mkdir()
    script.write_text(LOOK)
    (folder / "profile.py").write_text("a module of Python's has the same name")
    result = subprocess.run([sys.executable, str(script)], cwd=folder, capture_output=True, text=True)
    expected = [str(folder), "False", profile.__file__, ray_jobs.__file__]
    assert result.stdout.splitlines() == expected, result.stderr[-500:]


SCRIPT = """
import psutil
from ray_jobs.cluster import connected
with connected(num_cpus=1) as capacity:
    pids = [process.pid for process in psutil.Process().children(recursive=True)]
    assert pids
print(capacity.cpus, [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"])
"""


@pytest.mark.long
def test_a_local_ray_leaves_no_process_behind():
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment)
    assert result.stdout.strip() == "1 []", result.stderr[-500:]


def test_a_shell_that_switches_ray_train_v2_off_for_another_project_does_not_stop_training():
    """With version 1 the workers of a CDPM never begin. The user's other choices stay."""
    script = "import os, ray_jobs; print(os.environ['RAY_TRAIN_V2_ENABLED'], os.environ['RAY_DEDUP_LOGS'])"
    environment = os.environ | {"RAY_TRAIN_V2_ENABLED": "0", "RAY_DEDUP_LOGS": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["1", "1"]
