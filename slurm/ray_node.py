"""One node's Ray: its ports, its temporary directory, its processes, from start to the last trace of them.

`ray stop` is never called: it ends every Ray of the user on the machine, also another job's. What is ended here is what
descends from this process, which adopts orphans for that purpose.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import psutil

from slurm.allocation import Allocation
from slurm.errors import LaunchError
from slurm.rendezvous import tail

ATTEMPTS = 5  # starts with other ports, where one was taken between our choice and Ray's binding
PREFIX = "ddb-"  # of temporary directories
LOCK = "launcher"  # in the temporary directory
LIMIT = 43  # bytes of Ray's directory: a socket's path may have 107, and session name and socket take up to 64
SERVED = ("node-manager-port", "object-manager-port")  # other nodes connect to these and to the head's "port"
LOCAL = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port", "metrics-export-port")
METRICS_OFF = {  # these servers would listen on all interfaces and ask nobody for a token
    "RAY_enable_metrics_collection": "0",
    "AUTOSCALER_METRIC_PORT": "-1",  # no port at all: Ray logs that it could not start the server, and goes on
    "DASHBOARD_METRIC_PORT": "-1",
}
DEATH_SIGNAL, SUBREAPER = 1, 36  # PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER of prctl(2)
# What ties a process to another Ray or to another run, wherever it comes from.
FOREIGN = (
    "RAY_ADDRESS",
    "RAY_AUTH_MODE",
    "RAY_AUTH_TOKEN",
    "RAY_AUTH_TOKEN_PATH",
    "RAY_TMPDIR",
    "RAY_NAMESPACE",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER",  # set by a local run of ours; several nodes refuse to start with it
    "RAY_RAYLET_PID",
    "RAY_NODE_ID",
    "RAY_JOB_ID",
    "RAY_JOB_CONFIG_JSON_ENV_VAR",
    "DDB_INTERRUPT_FILE",
)


def temporary_directory(environment: Mapping[str, str]) -> Path:
    """A new private directory on this node's disk, of a name that nobody can guess: in DDB_TMPDIR, else TMPDIR or /tmp,
    whichever is short enough.

    Ray makes its own directory writable for everyone, so that one lies inside ours. Raises LaunchError.
    """
    asked = environment.get("DDB_TMPDIR")
    candidates = [asked] if asked else [environment.get("TMPDIR") or "/tmp", "/tmp"]
    room = LIMIT - len(f"/{PREFIX}12345678/r")  # mkdtemp adds eight characters
    fitting = [place for place in candidates if len(os.fsencode(place)) <= room]
    if not fitting:
        raise LaunchError(f"DDB_TMPDIR={asked}: {len(os.fsencode(asked))} bytes are too long a path for Ray's sockets; "
                          f"the limit is {room}")  # fmt: skip
    place = Path(fitting[0])
    remove_abandoned(place)
    try:
        directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        lock = os.open(directory / LOCK, os.O_CREAT | os.O_RDWR, 0o600)  # held for as long as this process lives
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        raise LaunchError(f"temporary directory in {place}: {error.strerror}; set DDB_TMPDIR") from None
    return directory


def remove_abandoned(place: Path) -> None:
    """Remove what launchers of ours left in `place` that were killed: directories whose lock nobody holds."""
    for path in place.glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError):
            if path.parent.is_symlink() or path.parent.stat().st_uid != os.getuid():
                continue
            lock = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.parent, ignore_errors=True)
            finally:
                os.close(lock)


def free_ports(address: str, number: int) -> list[int]:
    """`number` different ports that the kernel chose a moment ago."""
    with contextlib.ExitStack() as trials:
        sockets = [trials.enter_context(socket.create_server((address, 0))) for _ in range(number)]
        return [each.getsockname()[1] for each in sockets]


def start_command(
    python: Path, allocation: Allocation, head: str | None, ports: dict[str, int], directory: Path
) -> list[str]:
    """`ray start` for this node: as the head, or to join the one at address `head`."""
    options = [f"--{name}={port}" for name, port in ports.items()]
    options += ["--min-worker-port=0", "--max-worker-port=0"]  # a range could swallow another job's ports
    options += [f"--node-ip-address={allocation.address}", f"--temp-dir={directory / 'r'}"]
    options += [f"--num-cpus={allocation.cpus}", f"--num-gpus={allocation.gpus}"]
    options += [f"--memory={allocation.memory - allocation.object_store}"]
    options += [f"--object-store-memory={allocation.object_store}", "--disable-usage-stats"]
    if head is None:
        options += ["--head", "--dashboard-host=127.0.0.1", f"--include-dashboard={str(has_dashboard()).lower()}"]
    else:
        options += [f"--address={head}"]
    return [str(python), "-m", "ray.scripts.scripts", "start", "--block", *options]


def port_names(head: bool) -> list[str]:
    """The ports that are ours to choose, as `ray start` names them."""
    if not head:
        return [*SERVED, *LOCAL]
    installed = {"dashboard-port": has_dashboard(), "ray-client-server-port": find_spec("grpc") is not None}
    return ["port", *SERVED, *LOCAL, *(name for name, there in installed.items() if there)]


def has_dashboard() -> bool:
    """Whether Ray's dashboard is installed: it comes with ray[default]."""
    return find_spec("aiohttp_cors") is not None


def adopt_orphans() -> None:
    """From now on what a child leaves running becomes our child, so that `end` finds it."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def start_process(command: list[str], environment: Mapping[str, str], log: int | None = None) -> subprocess.Popen:
    """A child in a process group of its own that no signal to the whole step ends, and none of its descendants.

    SLURM sends SIGTERM to every process of a step when a job's grace time begins, and `scancel --signal=USR1` does the
    same; by their default actions both would end Ray before training has written its checkpoint. SIGTERM is blocked
    and not ignored, since Ray's processes set handlers of their own. The child dies with us: SLURM kills the launcher
    alone when it takes a node for lost.
    """

    def prepare() -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        libc.prctl(DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)

    libc = ctypes.CDLL(None)  # loaded before the fork
    return subprocess.Popen(
        command,
        env=dict(environment),
        stdout=log,
        stderr=subprocess.STDOUT if log else None,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=prepare,
    )


class RayNode:
    """The Ray of this node: `start` it, see whether it is `alive`, `end` it."""

    def __init__(self, python: Path, allocation: Allocation, directory: Path, log: Path, environment: dict[str, str]):
        self.python, self.allocation, self.directory = python, allocation, directory
        self.log, self.environment = log, environment
        self.process: subprocess.Popen | None = None
        self.ports: dict[str, int] = {}

    def start(self, head: str | None, seconds: float, give_up: Callable[[], bool]) -> None:
        """Start, on other ports when one was taken meanwhile. Raises LaunchError with the end of the log."""
        names = port_names(head is None)
        for _ in range(ATTEMPTS):
            found = free_ports(self.allocation.address, len(names))
            self.ports = dict(zip(names, found, strict=True))
            command = start_command(self.python, self.allocation, head, self.ports, self.directory)
            if self._attempt(command, seconds, give_up):
                return
            end_descendants()
        raise LaunchError(f"Ray could not start on {self.allocation.name}:\n{tail(self.log)}")

    def _attempt(self, command: list[str], seconds: float, give_up: Callable[[], bool]) -> bool:
        """Whether Ray is up; False where it ended by itself."""
        self.log.write_text("")
        deadline = time.monotonic() + seconds
        with open(self.log, "a") as log:
            self.process = start_process(command, self.environment, log.fileno())
        while self.process.poll() is None:
            if "Ray runtime started" in self.log.read_text(errors="replace"):
                return True
            if give_up():
                raise LaunchError(f"Ray's start on {self.allocation.name}: given up, since the job is ending")
            if time.monotonic() > deadline:
                raise LaunchError(f"Ray did not start on {self.allocation.name} within {seconds:.0f} s "
                                  f"(DDB_START_TIMEOUT):\n{tail(self.log)}")  # fmt: skip
            time.sleep(0.1)
        return False

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def end(self, keep_logs: Path) -> None:
        """End every descendant of this process; keep Ray's logs; leave no directory."""
        end_descendants()
        session = self.directory / "r" / "session_latest" / "logs"
        if session.exists():
            shutil.copytree(session, keep_logs, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        shutil.rmtree(self.directory, ignore_errors=True)


def end_descendants() -> None:
    """Kill whatever descends from this process. Nothing of value is in a Ray: the store has every result."""
    us = psutil.Process()
    for _ in range(50):  # the dead leave orphans, which come to us
        remaining = us.children(recursive=True)
        if not remaining:
            return
        for each in remaining:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(remaining, timeout=0.5)


def private_environment(inherited: Mapping[str, str], token: Path, allocation: Allocation, flag: Path) -> dict:
    """The environment of Ray and of the command: this job's token, and nothing that ties to another Ray."""
    ours = {name: value for name, value in inherited.items() if name not in FOREIGN}
    ours |= METRICS_OFF | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "DDB_INTERRUPT_FILE": str(flag),
    }
    ours.setdefault("RAY_worker_niceness", "0")  # Ray's 15 is for machines that are also somebody's desk
    if allocation.devices or ours.get("DDB_GPUS") == "0":  # GPUs that the step could not ask for, or should not have
        ours["CUDA_VISIBLE_DEVICES"] = allocation.devices
    for library in ("GLOO", "NCCL"):  # a host name that resolves to loopback would mislead them
        ours.setdefault(f"{library}_SOCKET_IFNAME", allocation.interface)
    if allocation.nodes == 1:
        ours["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # a single-node Ray: every port on loopback
    return ours
