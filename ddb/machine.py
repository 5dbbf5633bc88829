"""What this machine and its processes are called."""

import os
import platform
from functools import cache
from pathlib import Path

# For processes that talk on this machine alone: a profile may name the network of a cluster, which is not here.
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}


def node_name() -> str:
    """What this machine is called: by SLURM within a job, else by itself."""
    return os.environ.get("SLURMD_NODENAME") or platform.node()


@cache
def identity() -> str:
    """The same for two processes if and only if a process number means the same to both: boot and PID namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return platform.node()


def started(pid: int) -> int | None:
    """When process `pid` of this machine began, in clock ticks since boot; None where there is none, or no /proc.

    With it, a process is not taken for an earlier one of the same number.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])  # one that is dead and not yet waited for
