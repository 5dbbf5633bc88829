"""What a node may use of what SLURM granted: made numbers and made cgroup files; never what the machine has."""

import psutil
import pytest

from slurm import allocation
from slurm.allocation import cgroup_limit, object_store, usable_cpus, usable_memory
from slurm.errors import LaunchError

GiB, MiB = 2**30, 2**20


def test_cpus_and_memory_are_those_granted_or_fewer_if_the_step_or_the_machine_has_fewer():
    assert usable_cpus(8, {"SLURM_CPUS_ON_NODE": "8"}, affinity=64) == 8
    assert usable_cpus(64, {"SLURM_CPUS_ON_NODE": "64"}, affinity=8) == 8
    assert usable_cpus(64, {"SLURM_CPUS_ON_NODE": "32"}, affinity=64) == 32
    assert usable_memory(6 * GiB, 4, 64 * GiB, 16, None) == 6 * GiB
    assert usable_memory(6 * GiB, 4, 64 * GiB, 16, 3 * GiB) == 3 * GiB
    assert usable_memory(999 * GiB, 4, 64 * GiB, 16, None) == 64 * GiB
    assert usable_memory(0, 4, 64 * GiB, 16, None) == 16 * GiB  # not managed: 4 of 16 CPUs have a quarter
    assert usable_memory(0, 4, 64 * GiB, 16, 3 * GiB) == 3 * GiB


@pytest.mark.parametrize(
    ("version", "folder", "file", "unlimited"),
    [(1, "memory", "memory.limit_in_bytes", "9223372036854771712\n"), (2, ".", "memory.max", "max\n")],
)
def test_the_lowest_limit_of_the_cgroup_and_those_above_counts(tmp_path, version, folder, file, unlimited):
    own, top = tmp_path / "cgroup", tmp_path / "fs" / folder
    memory = "4:memory:/slurm/job_7/step_0\n0::/y\n" if version == 1 else "0::/slurm/job_7/step_0\n"
    own.write_text(f"11:cpuset:/slurm\n1:name=systemd:/x\n{memory}")
    step = top / "slurm" / "job_7" / "step_0"
    step.mkdir(parents=True)
    assert cgroup_limit(own, tmp_path / "fs") is None
    (step / file).write_text(unlimited)
    (step.parent / file).write_text("4096\n")
    (step.parent.parent / file).write_text("8192\n")
    assert cgroup_limit(own, tmp_path / "fs") == 4096


def test_the_object_store_fits_into_shared_memory_and_is_never_less_than_ray_takes():
    assert object_store(10 * GiB, shared_memory=64 * GiB) == 3 * GiB
    assert object_store(10 * GiB, shared_memory=1000) == 80 * MiB
    assert object_store(100 * GiB, shared_memory=10 * GiB) == 8 * GiB
    assert object_store(1000 * GiB, shared_memory=1000 * GiB) == 40 * GiB


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """Makes a `scontrol` that prints this address of the node."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def write(address):
        program = tmp_path / "scontrol"
        program.write_text(f"#!/bin/sh\necho '   NodeAddr={address} NodeHostName=elsewhere Version=22.05'\n")
        program.chmod(0o755)

    return write


def test_the_address_is_the_one_that_slurm_itself_uses(scontrol):
    scontrol("127.9.9.9")
    assert allocation.own_address("n1", None) == "127.9.9.9"
    assert allocation.interface_of("127.9.9.9") == "lo"
    for address, message in {
        "127.0.1.1": "127.0.1.1 means 127.0.1.1 there, which no other node can reach",
        "192.0.2.1": "SLURM's address 192.0.2.1 is no address of this machine",
        "no-such-host.invalid": "SLURM's address no-such-host.invalid is no address of this machine",
    }.items():
        scontrol(address)
        with pytest.raises(LaunchError, match=f"node n1: {message}.*DDB_INTERFACE=ib0"):
            allocation.own_address("n1", None)


def test_an_interface_can_be_named():
    loopback = next(name for name, a in psutil.net_if_addrs().items() if any(x.address == "127.0.0.1" for x in a))
    assert allocation.own_address("n1", loopback) == "127.0.0.1"
    with pytest.raises(LaunchError, match=rf"DDB_INTERFACE=ib7: node n1 has no such interface.*{loopback}"):
        allocation.own_address("n1", "ib7")


def test_an_allocation_needs_a_step_with_one_task_per_node():
    with pytest.raises(LaunchError, match="not inside a SLURM job step"):
        allocation.Allocation.read({})
    with pytest.raises(LaunchError, match="one task per node is needed"):
        allocation.Allocation.read({"SLURM_JOB_ID": "1", "SLURM_NODEID": "0", "SLURM_LOCALID": "1"})
