"""What a node may use of what SLURM granted: made numbers and made cgroup files; never what the machine has."""

import psutil
import pytest

from slurm import allocation
from slurm.allocation import cgroup_limit, job_label, object_store, usable_cpus, usable_memory
from slurm.errors import LaunchError

GiB, MiB = 2**30, 2**20


def test_cpus_are_those_granted_or_fewer_where_the_step_or_the_process_has_fewer():
    assert usable_cpus(8, {"SLURM_CPUS_ON_NODE": "8"}, affinity=64) == 8
    assert usable_cpus(64, {"SLURM_CPUS_ON_NODE": "64"}, affinity=8) == 8
    assert usable_cpus(64, {"SLURM_CPUS_ON_NODE": "32"}, affinity=64) == 32


@pytest.mark.parametrize(
    ("granted", "limit", "memory"),
    [
        (6 * GiB, None, 6 * GiB),
        (6 * GiB, 3 * GiB, 3 * GiB),
        (999 * GiB, None, 64 * GiB),
        (0, None, 16 * GiB),  # not managed: 4 of 16 CPUs have a quarter
        (0, 3 * GiB, 3 * GiB),
    ],
)
def test_memory(granted, limit, memory):
    assert usable_memory(granted, 4, 64 * GiB, 16, limit) == memory


def test_the_lowest_limit_of_the_cgroup_and_those_above_counts(tmp_path):
    own = tmp_path / "cgroup"
    own.write_text("1:name=systemd:/x\n0::/slurm/job_7/step_0\n")
    step = tmp_path / "fs" / "slurm" / "job_7" / "step_0"
    step.mkdir(parents=True)
    assert cgroup_limit(own, tmp_path / "fs") is None
    (step / "memory.max").write_text("max\n")
    (step.parent / "memory.max").write_text("4096\n")
    (step.parent.parent / "memory.max").write_text("8192\n")
    assert cgroup_limit(own, tmp_path / "fs") == 4096


def test_version_1_of_the_cgroups_counts_as_well(tmp_path):
    own = tmp_path / "cgroup"
    own.write_text("11:cpuset:/slurm\n4:memory:/slurm/job_7/step_0\n1:name=systemd:/x\n0::/y\n")
    step = tmp_path / "fs" / "memory" / "slurm" / "job_7" / "step_0"
    step.mkdir(parents=True)
    assert cgroup_limit(own, tmp_path / "fs") is None
    (step / "memory.limit_in_bytes").write_text("9223372036854771712\n")  # "no limit"
    (step.parent / "memory.limit_in_bytes").write_text("4096\n")
    assert cgroup_limit(own, tmp_path / "fs") == 4096


def test_the_object_store_fits_into_shared_memory_and_is_never_less_than_ray_takes():
    assert object_store(10 * GiB, shared_memory=64 * GiB) == 3 * GiB
    assert object_store(10 * GiB, shared_memory=1000) == 80 * MiB
    assert object_store(100 * GiB, shared_memory=10 * GiB) == 8 * GiB
    assert object_store(1000 * GiB, shared_memory=1000 * GiB) == 40 * GiB


def test_a_start_of_a_job_is_known_by_its_number_and_restarts():
    assert job_label({"SLURM_JOB_ID": "12"}) == "12.0"
    assert job_label({"SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": "3"}) == "12.3"


def _scontrol(tmp_path, monkeypatch, address):
    program = tmp_path / "scontrol"
    program.write_text(f"#!/bin/sh\necho '   NodeAddr={address} NodeHostName=elsewhere Version=22.05'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def test_the_address_is_the_one_that_slurm_itself_uses(tmp_path, monkeypatch):
    _scontrol(tmp_path, monkeypatch, "127.9.9.9")
    assert allocation.own_address("n1", None) == "127.9.9.9"
    assert allocation.interface_of("127.9.9.9") == "lo"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.1.1", "127.0.1.1 means 127.0.1.1 there, which no other node can reach"),
        ("192.0.2.1", "SLURM's address 192.0.2.1 is no address of this machine"),
        ("no-such-host.invalid", "SLURM's address no-such-host.invalid is no address of this machine"),
    ],
)
def test_an_address_that_cannot_serve_is_refused_with_what_to_set(tmp_path, monkeypatch, address, message):
    _scontrol(tmp_path, monkeypatch, address)
    with pytest.raises(LaunchError, match=f"node n1: {message}.*DDB_INTERFACE=ib0"):
        allocation.own_address("n1", None)


def test_an_interface_can_be_named():
    loopback = next(name for name, a in psutil.net_if_addrs().items() if any(x.address == "127.0.0.1" for x in a))
    assert allocation.own_address("n1", loopback) == "127.0.0.1"
    with pytest.raises(LaunchError, match=rf"DDB_INTERFACE=ib7: node n1 has no such interface.*{loopback}"):
        allocation.own_address("n1", "ib7")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "not inside a SLURM job step"),
        ({"SLURM_JOB_ID": "1", "SLURM_NODEID": "0", "SLURM_LOCALID": "1"}, "one task per node is needed"),
    ],
)
def test_outside_of_a_step_or_with_two_tasks_on_a_node_nothing_starts(environment, message):
    with pytest.raises(LaunchError, match=message):
        allocation.Allocation.read(environment)
