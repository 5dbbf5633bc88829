"""One node's Ray, from its private directory to the end of its last process.

`ray stop` is never called, since it ends every Ray of the user on the machine. Only descendants of this process are
ended; it adopts orphans, so none escapes.
"""

import contextlib
import ctypes
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import psutil

from slurm.grant import Grant
from slurm.log import LaunchError

PREFIX, LOCK = "ddb-", "launcher"  # of temporary directories; the file in them that a living launcher locks
LONGEST = 28  # bytes of the path in which they are: the path of a socket below may have 107 bytes
# Ray's defaults of some are fixed numbers, which a second Ray on the node would wait for.
PORTS = ("min-worker", "max-worker", "node-manager", "object-manager", "metrics-export", "runtime-env-agent",
         "dashboard-agent-listen", "dashboard-agent-grpc")  # fmt: skip
DEATH_SIGNAL, SUBREAPER = 1, 36  # PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER of prctl(2)
# Variables that tie a process to another Ray or another job.
FOREIGN = re.compile(
    r"(RAY_(ADDRESS|AUTH_\w+|TMPDIR|NAMESPACE|ENABLE_WINDOWS_OR_OSX_CLUSTER|RAYLET_PID|NODE_ID|JOB_\w+)"
    r"|DDB_INTERRUPT_FILE)$"
)


@contextlib.contextmanager
def temporary_directory(environment: Mapping[str, str]) -> Iterator[Path]:
    """A new private directory with an unpredictable name on this node's disk, for as long as the context lasts.

    Directories of killed launchers, whose lock is free, are removed too. Raises LaunchError.
    """
    asked = environment.get("DDB_TMPDIR")
    place = Path(asked or environment.get("TMPDIR") or "/tmp")
    if len(os.fsencode(place)) > LONGEST:
        if asked:
            raise LaunchError(f"DDB_TMPDIR={asked}: too long for the paths of Ray's sockets; at most {LONGEST} bytes")
        place = Path("/tmp")
    for lock in place.glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError):
            if lock.parent.lstat().st_uid == os.getuid() and not lock.parent.is_symlink() and _locked(lock):
                shutil.rmtree(lock.parent, ignore_errors=True)
    try:
        directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        _locked(directory / LOCK)
    except OSError as error:
        raise LaunchError(f"temporary directory in {place}: {error.strerror}; set DDB_TMPDIR") from None
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _locked(path: Path) -> bool:
    """Lock a file until this process ends. Raises OSError if another process has it."""
    fcntl.flock(os.open(path, os.O_CREAT | os.O_RDWR, 0o600), fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True


def private_environment(inherited: Mapping[str, str], token: Path, grant: Grant, directory: Path, python: Path) -> dict:
    """Environment of Ray and of the command: the job's token, and no variable of another Ray."""
    ours = {name: value for name, value in inherited.items() if not FOREIGN.match(name)}
    ours |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # Ray's metrics servers would listen on all interfaces without a token.
        "RAY_enable_metrics_collection": "0",
        "AUTOSCALER_METRIC_PORT": "-1",
        "DASHBOARD_METRIC_PORT": "-1",
        "DDB_INTERRUPT_FILE": str(directory / "interrupt"),
        "PATH": f"{python.parent}:{inherited.get('PATH', os.defpath)}",
    }
    ours.setdefault("RAY_worker_niceness", "0")  # Ray's 15 is for machines that people also work on
    for library in ("GLOO", "NCCL"):  # a host name that means loopback would mislead them
        ours.setdefault(f"{library}_SOCKET_IFNAME", grant.interface)
    if len(grant.nodes) == 1:
        ours["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray of one node: all ports on loopback
    return ours


def start_process(command: list[str], environment: Mapping[str, str], log: int | None = None) -> subprocess.Popen:
    """A child that dies with this process, but not from a signal to the whole step.

    SLURM sends SIGTERM and SIGUSR1 to every process of a step; by default both would end Ray before training has
    written its checkpoint. SIGTERM is blocked and not ignored, since Ray's processes set handlers for it.
    """
    libc = ctypes.CDLL(None)  # loaded before the fork

    def prepare() -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        libc.prctl(DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)

    streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
    return subprocess.Popen(command, env=dict(environment), start_new_session=True, preexec_fn=prepare, **streams)


def start_command(python: Path, grant: Grant, head: str | None, directory: Path) -> list[str]:
    """`ray start` for this node: as the head, or to join the one at address `head`. Ray chooses free ports."""
    options = [f"--node-name={grant.node}", f"--node-ip-address={grant.address}"]
    options += [f"--num-cpus={grant.cpus}", f"--num-gpus={grant.gpus}"]
    options += [f"--memory={grant.memory - grant.object_store}", f"--object-store-memory={grant.object_store}"]
    options += [f"--temp-dir={directory / 'r'}", "--disable-usage-stats"]  # Ray makes it writable for everyone
    options += [f"--{name}-port=0" for name in PORTS]
    options += [f"--address={head}"] if head else ["--head", "--port=0", "--dashboard-port=0"]
    if not head and find_spec("grpc"):  # Ray then starts its client server, for which 0 is not a port
        with socket.create_server((grant.address, 0)) as chosen:
            options += [f"--ray-client-server-port={chosen.getsockname()[1]}"]
    return [str(python), "-m", "ray.scripts.scripts", "start", "--block", *options]


def adopt_orphans() -> None:
    """Make descendants whose parent ends children of this process, so `end_descendants` finds them."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def end_descendants() -> None:
    """Kill all descendants of this process. The store has every result, so nothing is lost."""
    for _ in range(50):  # the dead leave orphans
        remaining = psutil.Process().children(recursive=True)
        for each in remaining:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(remaining, timeout=0.5)
        if not remaining:
            return
