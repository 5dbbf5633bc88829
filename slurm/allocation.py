"""What SLURM granted to this node of a job, never what the machine has.

    node = Allocation.read(os.environ)
    node.cpus, node.gpus, node.memory, node.address

A machine's own numbers come in only where they are lower (affinity, cgroup, /dev/shm), or where SLURM does not manage
memory at all: then a job has the share of the memory that it has of the CPUs.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from slurm import grants
from slurm.errors import LaunchError

STORE_SHARE = 0.3  # of the memory for Ray's object store, as Ray itself would take
STORE_LEAST, STORE_MOST = 80 * 2**20, 40 * 2**30  # bytes; Ray refuses less than 75 MiB, and we never hold so much


@dataclass(frozen=True)
class Allocation:
    """One node's part of a job."""

    job: str  # "1234.0": number and how often it was requeued
    name: str  # the node's name in SLURM
    index: int  # 0 is the head
    nodes: int
    cpus: int
    gpus: int
    all_gpus: int  # of the whole job
    memory: int  # bytes
    object_store: int  # bytes, part of `memory`
    address: str  # an address of this node that the other nodes reach
    interface: str  # the network interface that has it
    devices: str = ""  # the GPUs as CUDA_VISIBLE_DEVICES names them; "" where the step's own variable does

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Allocation":
        """From the variables of a job step. Raises LaunchError where it is none, or no address can be found."""
        if "SLURM_JOB_ID" not in environment or "SLURM_NODEID" not in environment:
            raise LaunchError("not inside a SLURM job step; submit with: sbatch slurm/ddb.sbatch run CONFIG")
        if environment.get("SLURM_LOCALID", "0") != "0":
            raise LaunchError("one task per node is needed, there are more: --ntasks-per-node=1")
        name, nodes = environment["SLURMD_NODENAME"], int(environment["SLURM_STEP_NUM_NODES"])
        job = grants.of_job(environment["SLURM_JOB_ID"])
        if environment.get("DDB_GPUS", "0") != "0":
            raise LaunchError(f"DDB_GPUS={environment['DDB_GPUS']}: can only be 0, to use none of the job's GPUs")
        if "DDB_GPUS" in environment:  # an exclusive job has GPUs whether it wants them or not
            job = {each: replace(grant, gpus=0, devices=()) for each, grant in job.items()}
        mine = job[name]
        cpus = usable_cpus(mine.cpus, environment, len(os.sched_getaffinity(0)))
        memory = usable_memory(mine.memory, cpus, psutil.virtual_memory().total, os.cpu_count() or 1, cgroup_limit())
        address = "127.0.0.1" if nodes == 1 else own_address(name, environment.get("DDB_INTERFACE"))
        return cls(
            job=job_label(environment),
            name=name,
            index=int(environment["SLURM_NODEID"]),
            nodes=nodes,
            cpus=cpus,
            gpus=mine.gpus,
            all_gpus=sum(each.gpus for each in job.values()),
            memory=memory,
            object_store=object_store(memory, shutil.disk_usage("/dev/shm").free),
            address=address,
            interface=interface_of(address),
            devices="" if "CUDA_VISIBLE_DEVICES" in environment else ",".join(map(str, mine.devices)),
        )


def job_label(environment: Mapping[str, str]) -> str:
    """Job number and restart count: what one start of a job is known by."""
    return f"{environment['SLURM_JOB_ID']}.{environment.get('SLURM_RESTART_COUNT', '0')}"


def usable_cpus(granted: int, environment: Mapping[str, str], affinity: int) -> int:
    """CPUs granted on this node, or fewer where the step or the process may not use them all."""
    return max(1, min(granted, int(environment.get("SLURM_CPUS_ON_NODE", granted)), affinity))


def usable_memory(granted: int, cpus: int, total: int, machine_cpus: int, limit: int | None) -> int:
    """Bytes for the job on this node; `granted` is 0 where SLURM does not manage memory."""
    share = granted or total * min(cpus, machine_cpus) // machine_cpus
    return min(share, total, limit or total)


def cgroup_limit(own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that the process's cgroup or one above it allows, of either version; None where nothing limits it."""
    try:
        groups = re.findall(r"^\d+:(?:(?P<v1>(?:[^:]*,)?memory(?:,[^:]*)?))?:/(.*)$", own.read_text(), re.MULTILINE)
    except OSError:
        return None
    limits = []
    for version_1, group in groups:
        top, file = (root / "memory", "memory.limit_in_bytes") if version_1 else (root, "memory.max")
        for directory in [top / group, *(top / group).parents]:
            if not directory.is_relative_to(top):
                break
            with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
                limits.append(int((directory / file).read_text()))
    return min(limits, default=None)


def object_store(memory: int, shared_memory: int) -> int:
    """Bytes for Ray's object store: it lives in /dev/shm, and writing beyond what is free there is a bus error."""
    wanted = min(int(memory * STORE_SHARE), int(shared_memory * 0.8), STORE_MOST)
    return max(wanted, STORE_LEAST)


def own_address(name: str, interface: str | None) -> str:
    """The IPv4 address by which other nodes reach this one: of `interface`, else the one that SLURM uses itself.

    Raises LaunchError where that is no address of this machine, or one that only this machine can reach.
    """
    if interface:
        addresses = psutil.net_if_addrs()
        found = [a.address for a in addresses.get(interface, ()) if a.family == socket.AF_INET]
        if not found:
            raise LaunchError(f"DDB_INTERFACE={interface}: node {name} has no such interface with an IPv4 address; it "
                              f"has {', '.join(sorted(addresses))}")  # fmt: skip
        return found[0]
    shown = subprocess.run(["scontrol", "show", "node", name], capture_output=True, text=True).stdout
    match = re.search(r"NodeAddr=(\S+)", shown)
    told = match[1] if match else name
    try:
        address = socket.gethostbyname(told)
        with socket.socket() as trial:
            trial.bind((address, 0))
    except OSError as error:
        raise LaunchError(f"node {name}: SLURM's address {told} is no address of this machine ({error.strerror}); name "
                          "the network interface to use: DDB_INTERFACE=ib0") from None  # fmt: skip
    if address in ("127.0.0.1", "127.0.1.1"):  # what /etc/hosts often says of a machine's own name
        raise LaunchError(f"node {name}: {told} means {address} there, which no other node can reach; name the network "
                          "interface to use: DDB_INTERFACE=ib0")  # fmt: skip
    return address


def interface_of(address: str) -> str:
    """The interface that has an address; loopback answers for all of 127.0.0.0/8."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address == address for each in addresses):
            return name
    return next((name for name in psutil.net_if_addrs() if name.startswith("lo")), "lo")
