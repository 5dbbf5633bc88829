"""What a node may use of SLURM's grant: made-up numbers, cgroup files and programs, not those of this machine."""

import psutil
import pytest

from slurm import grant
from slurm.grant import Grant, cgroup_limit, granted_memory, step
from slurm.log import LaunchError

GiB, MiB = 2**30, 2**20
SHOWN = """\
JobId=23 ArrayJobId=23 ArrayTaskId=2 JobName=ddb
     Nodes=n[1-2] CPU_IDs=0-1,5 Mem=3000 GRES=gpu:fake:2(S:0,IDX:0-1)
     Nodes=n3 CPU_IDs=0 Mem=1500 GRES=
   WorkDir=/tmp/Nodes=n4 CPU_IDs=0 Mem=1
"""
SCONTROL = """\
#!/bin/bash
case "$2 $3" in
  "hostnames n[1-2]") printf '%s\\n' n1 n2 ;;
  hostnames*) echo "$3" ;;
  "node n1") echo "   NodeAddr={address} NodeHostName=elsewhere Version=22.05" ;;
  job*) echo "     Nodes=n1 CPU_IDs=0 Mem={memory} GRES=" ;;
esac
"""


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A `scontrol` that knows three nodes, this address of n1 and this memory (MiB) of a job on n1."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def write(address="127.9.9.9", memory=0):
        program = tmp_path / "scontrol"
        program.write_text(SCONTROL.format(address=address, memory=memory))
        program.chmod(0o755)

    write()
    return write


def test_memory_is_granted_to_each_node_by_the_details_of_the_job(scontrol):
    granted = [granted_memory(SHOWN, node) for node in ("n1", "n2", "n3", "n4")]
    assert granted == [3000 * MiB, 3000 * MiB, 1500 * MiB, 0]


def test_a_node_uses_no_more_than_the_grant_the_affinity_the_machine_and_the_cgroup(scontrol, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(4))
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"total": 64 * GiB}))
    variables = {"SLURMD_NODENAME": "n1", "SLURM_STEP_NODELIST": "n1"}
    monkeypatch.setenv("SLURM_JOB_ID", "7")

    def read(cpus, memory=0, limit=None, shared=1000 * GiB, **more):
        scontrol(memory=memory)
        monkeypatch.setattr(grant, "cgroup_limit", lambda: limit)
        monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": shared}))
        found = Grant.read({**variables, "SLURM_CPUS_ON_NODE": str(cpus), **more})
        return found.cpus, found.gpus, found.memory, found.object_store

    assert read(2, memory=10 * 1024, SLURM_GPUS_ON_NODE="3") == (2, 3, 10 * GiB, 3 * GiB)
    assert read(8, memory=10 * 1024)[0] == 4  # the affinity
    assert read(4, memory=0)[2] == 16 * GiB  # not managed by SLURM: 4 of 16 CPUs have a quarter
    assert read(4, memory=0, limit=5 * GiB)[2] == 5 * GiB
    assert read(4, memory=99 * 1024)[2] == 64 * GiB
    assert read(4, memory=10 * 1024, shared=1 * GiB)[3] == int(0.8 * GiB)  # the rest would be a bus error
    assert read(4, memory=10 * 1024, shared=0)[3] == 80 * MiB  # Ray takes no less


@pytest.mark.parametrize(
    ("version", "folder", "file", "unlimited"),
    [(1, "memory", "memory.limit_in_bytes", "9223372036854771712\n"), (2, ".", "memory.max", "max\n")],
)
def test_the_lowest_limit_of_the_cgroup_and_its_parents_counts(tmp_path, version, folder, file, unlimited):
    own, top = tmp_path / "cgroup", tmp_path / "fs" / folder
    memory = "4:cpu,memory:/slurm/job_7/step_0\n0::/y\n" if version == 1 else "0::/slurm/job_7/step_0\n"
    own.write_text(f"11:cpuset:/slurm\n1:name=systemd:/x\n{memory}")
    group = top / "slurm" / "job_7" / "step_0"
    group.mkdir(parents=True)
    assert cgroup_limit(own, tmp_path / "fs") is None
    (group / file).write_text(unlimited)
    (group.parent / file).write_text("4096\n")
    (group.parent.parent / file).write_text("8192\n")
    assert cgroup_limit(own, tmp_path / "fs") == 4096


def test_the_step_has_one_task_per_node_and_no_request_of_the_job(scontrol):
    variables = {
        "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_ARRAY_TASK_ID": "1", "SLURM_CONF": "/c",
        "SLURM_MEM_PER_GPU": "700", "SLURM_NTASKS": "3", "SLURMD_NODENAME": "n1", "CUDA_VISIBLE_DEVICES": "0",
        "HOME": "/h",
    }  # fmt: skip
    command, environment = step(variables)
    assert command[0] == "srun" and {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--mem=0"} <= set(command)
    kept = {"SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_ARRAY_TASK_ID", "SLURM_CONF", "HOME"}
    assert environment == {name: variables[name] for name in kept}


def test_the_address_is_the_one_that_slurm_uses_unless_other_nodes_cannot_reach_it(scontrol):
    assert grant.own_address("n1", None) == "127.9.9.9"
    assert grant.interface_of("127.9.9.9") == "lo"
    for address, message in {
        "127.0.1.1": "127.0.1.1 is 127.0.1.1, which other nodes cannot reach",
        "192.0.2.1": "192.0.2.1 is not an address of this machine",
        "no-such-host.invalid": "no-such-host.invalid is not an address of this machine",
    }.items():
        scontrol(address)
        with pytest.raises(LaunchError, match=f"node n1: {message}; set DDB_INTERFACE"):
            grant.own_address("n1", None)


def test_an_interface_can_be_named():
    loopback = next(name for name, a in psutil.net_if_addrs().items() if any(x.address == "127.0.0.1" for x in a))
    assert grant.own_address("n1", loopback) == "127.0.0.1"
    with pytest.raises(LaunchError, match="DDB_INTERFACE=ib7: node n1 has no such interface"):
        grant.own_address("n1", "ib7")
