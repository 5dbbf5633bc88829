"""What SLURM granted to a job on one node, and the step that receives it.

A step without a request of its own gets all CPUs, memory and requested GPUs of its job, and its variables count them
for each node. Memory is the exception: SLURM has no variable for `--mem=0` and `--mem-per-gpu`.
"""

import os
import re
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from slurm.log import LaunchError
from slurm.scontrol import ask, field, host_names, own_job

STEP = ["srun", "--ntasks-per-node=1", "--no-kill", "--kill-on-bad-exit=0", "--cpu-bind=quiet,none", "--mem=0"]
# Variables that srun may read: which job it is. The others repeat the job's request or the batch step's GPUs.
KEPT = re.compile(r"SLURM_(JOB_ID|JOB_NODELIST|ARRAY_\w+|RESTART_COUNT|CONF|CLUSTERS|CLUSTER_NAME|WORKING_CLUSTER)$")
DROPPED = re.compile(r"SLURMD?_|CUDA_VISIBLE_DEVICES$|GPU_DEVICE_ORDINAL$|(ROCR|HIP)_VISIBLE_DEVICES$")
STORE_LEAST, STORE_MOST = 80 * 2**20, 40 * 2**30  # bytes of Ray's object store, which accepts no less than 75 MiB


def step(environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a step with one task on each node of the job."""
    nodes = len(host_names(environment["SLURM_JOB_NODELIST"]))
    kept = {name: value for name, value in environment.items() if KEPT.match(name) or not DROPPED.match(name)}
    return [*STEP, f"--nodes={nodes}", f"--ntasks={nodes}", "--export=ALL"], kept


@dataclass(frozen=True)
class Grant:
    """One node's part of a job."""

    node: str
    nodes: list[str]  # of the whole job
    cpus: int
    gpus: int
    memory: int  # bytes, including Ray's object store
    object_store: int  # bytes
    address: str  # IPv4 address at which other nodes reach this one
    interface: str  # network interface with that address

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Grant":
        """From the variables of a task of `step`. Raises LaunchError if there is no usable address."""
        node, nodes = environment["SLURMD_NODENAME"], host_names(environment["SLURM_STEP_NODELIST"])
        cpus = min(int(environment["SLURM_CPUS_ON_NODE"]), len(os.sched_getaffinity(0)))
        memory = granted_memory(own_job(), node)
        machine = psutil.virtual_memory().total
        share = memory or machine * cpus // max(cpus, os.cpu_count() or 1)  # if SLURM does not manage memory
        memory = min(share, machine, cgroup_limit() or machine)
        shared = int(0.8 * shutil.disk_usage("/dev/shm").free)  # writing beyond it is a bus error
        address = "127.0.0.1" if len(nodes) == 1 else own_address(node, environment.get("DDB_INTERFACE"))
        return cls(
            node=node,
            nodes=nodes,
            cpus=cpus,
            gpus=int(environment.get("SLURM_GPUS_ON_NODE", 0)),
            memory=memory,
            object_store=max(min(int(0.3 * memory), shared, STORE_MOST), STORE_LEAST),
            address=address,
            interface=interface_of(address),
        )


def granted_memory(shown: str, node: str) -> int:
    """Bytes on `node` by the details of `scontrol show job`; 0 if SLURM does not manage memory."""
    for nodes, mebibytes in re.findall(r"^\s*Nodes=(\S+) CPU_IDs=\S* Mem=(\d+)", shown, re.MULTILINE):
        if node in host_names(nodes):
            return int(mebibytes) * 2**20
    return 0


def cgroup_limit(own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes allowed by this process's cgroup (version 1 or 2) or one above it; None if unlimited."""
    groups = re.findall(r"^\d+:(?:|.*\bmemory\b.*):/(.*)$", own.read_text() if own.exists() else "", re.MULTILINE)
    places = [top / group for group in groups for top in (root, root / "memory")]
    folders = [folder for place in places for folder in (place, *place.parents) if folder.is_relative_to(root)]
    files = [folder / name for folder in folders for name in ("memory.max", "memory.limit_in_bytes")]
    texts = [file.read_text().strip() for file in files if file.exists()]
    return min((int(text) for text in texts if text.isdecimal()), default=None)


def own_address(node: str, interface: str | None) -> str:
    """IPv4 address of `interface`, else the one that SLURM uses. Raises LaunchError if other nodes cannot reach it."""
    if interface:
        found = [each.address for each in psutil.net_if_addrs().get(interface, []) if each.family == socket.AF_INET]
        if not found:
            raise LaunchError(f"DDB_INTERFACE={interface}: node {node} has no such interface with an IPv4 address")
        return found[0]
    address, name = "", field(ask("scontrol", "show", "node", node).stdout, "NodeAddr") or node
    try:
        address = socket.gethostbyname(name)
        socket.create_server((address, 0)).close()
        reason = f"is {address}, which other nodes cannot reach" if address in ("127.0.0.1", "127.0.1.1") else ""
    except OSError:
        reason = "is not an address of this machine"
    if reason:
        raise LaunchError(f"node {node}: {name} {reason}; set DDB_INTERFACE to a network interface, such as ib0")
    return address


def interface_of(address: str) -> str:
    """The network interface with an address; loopback has all of 127.0.0.0/8."""
    interfaces = psutil.net_if_addrs().items()
    return next((name for name, addresses in interfaces if any(each.address == address for each in addresses)), "lo")
