"""What SLURM granted to a job on each of its nodes, from the details of `scontrol show job`:

    Nodes=n[1-2] CPU_IDs=0-1 Mem=3000 GRES=gpu:a100:2(IDX:0-1)

Variables do not tell: those of the batch step count for the first node alone, and of memory they repeat the request.
"""

import re
import subprocess
import time
from dataclasses import dataclass

from slurm.errors import LaunchError

LINE = re.compile(r"^\s*Nodes=(?P<nodes>\S+) CPU_IDs=(?P<cpus>[\d,-]*) Mem=(?P<memory>\d+) GRES=(?P<gres>.*)$", re.M)
GPUS = re.compile(r"(?:^|,)gpu(?::[^:,()]+)?:(?P<number>\d+)(?:\([^()]*?IDX:(?P<devices>[\d,-]+)\))?")
ATTEMPTS, PAUSE = 3, 3.0  # questions to a controller that is busy, and the seconds between two


@dataclass(frozen=True)
class Grant:
    """One node's part of a job."""

    cpus: int
    memory: int  # bytes; 0 where SLURM does not manage memory
    gpus: int
    devices: tuple[int, ...] = ()  # numbers of the GPUs, where SLURM names them


def of_job(job: str) -> dict[str, Grant]:
    """Every node's grant, in SLURM's order of the nodes. Raises LaunchError where SLURM does not tell."""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE)
        asked = subprocess.run(["scontrol", "show", "job", job, "--details"], capture_output=True, text=True)
        found = parse(record(asked.stdout, job))
        if found:
            return {name: grant for nodes, grant in found for name in host_names(nodes)}
    raise LaunchError(f"SLURM does not say what it granted to job {job}: scontrol show job {job} --details: "
                      f"{asked.stderr.strip() or 'no line begins with Nodes='}")  # fmt: skip


def record(shown: str, job: str) -> str:
    """What is said of the job with this number: that of an array's last task is the array's, and shows every task."""
    return "".join(part for part in re.split(r"^(?=JobId=)", shown, flags=re.M) if part.startswith(f"JobId={job} "))


def parse(shown: str) -> list[tuple[str, Grant]]:
    """Lists of nodes as SLURM writes them ("n[1-2]"), each with the grant of every one of them."""
    return [
        (match["nodes"], Grant(len(numbers(match["cpus"])), int(match["memory"]) * 2**20, *gpus(match["gres"])))
        for match in LINE.finditer(shown)
    ]


def gpus(gres: str) -> tuple[int, tuple[int, ...]]:
    """How many GPUs, of whatever type, and which: "gpu:a100:2(IDX:0-1),gpu:v100:1(IDX:2)" are 3."""
    found = list(GPUS.finditer(gres))
    devices = [device for match in found for device in numbers(match["devices"] or "")]
    return sum(int(match["number"]) for match in found), tuple(devices)


def numbers(text: str) -> list[int]:
    """What "0-2,5" stands for."""
    result: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        result += range(int(first), int(last or first) + 1)
    return result


def host_names(nodes: str) -> list[str]:
    """The names that a list of SLURM's stands for."""
    return subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True).stdout.split()
