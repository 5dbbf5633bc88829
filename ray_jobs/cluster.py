"""The Ray that everything here runs on: the one that RAY_ADDRESS names, else a private one on loopback.

A local Ray is asked for explicitly, since `ray.init()` without an address joins whatever Ray it finds on the machine.
"""

import contextlib
import logging
import os
import secrets
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ddb import interrupt
from ddb.errors import DDBError
from ddb.machine import LOOPBACK
from ddb.stages.needs import Capacity
from ray_jobs import preflight
from slurm.interpreter import without_spaces

QUIET = {  # for this process and every worker that it starts
    "OMP_WAIT_POLICY": "PASSIVE",  # waiting threads sleep: others on our cores then cost a share, not a tenfold
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # else every line shows twice
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's own tables and hints; a search prints lines of its own
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours asks a search to end as it does any run
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that is asked to end early reports nothing
    "RAY_task_oom_retries": "3",  # without it, a task that is too large is tried for ever
    "TOKENIZERS_PARALLELISM": "false",
}
LOCAL = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # a single-node Ray: every port on loopback
    "RAY_AUTH_MODE": "token",  # other users of this machine reach loopback too, and Ray runs what reaches its ports
}


_set_here: set[str] = set()  # names of the variables that this process gave itself


def set_environment() -> None:
    """Set what must stand before torch and ray are imported; what the user has set stays, and so does a worker's."""
    local = not os.environ.get("RAY_ADDRESS") and "RAY_RAYLET_PID" not in os.environ
    ours = QUIET | (LOCAL if local else {})
    if local:  # what is started here inherits it; on a cluster of somebody else's, nobody would look at our file
        ours |= {interrupt.FILE: f"{_temporary()}/ddb-interrupt-{secrets.token_hex(8)}"}
    mode = os.environ.get("RAY_AUTH_MODE") or ours.get("RAY_AUTH_MODE")
    if local and mode == "token" and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        ours |= {"RAY_AUTH_TOKEN": secrets.token_hex(32)}  # of this process and those it starts
    for name, value in ours.items():
        if name not in os.environ:
            os.environ[name] = value
            _set_here.add(name)
    os.environ["RAY_TRAIN_V2_ENABLED"] = "1"  # training needs it, also if the user's shell has 0 for another project


def _temporary() -> str:
    with contextlib.suppress(OSError):  # nowhere can anything be written: said once it is tried
        return tempfile.gettempdir()
    return "/tmp"


def shell_environment() -> dict[str, str]:
    """The environment without what this process has set for itself: what a job that it submits may inherit."""
    return {name: value for name, value in os.environ.items() if name not in _set_here}


def check_address() -> None:
    """Raises DDBError if RAY_ADDRESS names a place where no Ray answers."""
    if address := os.environ.get("RAY_ADDRESS"):
        preflight.reachable(address)


@contextlib.contextmanager
def connected(num_cpus: int | None = None) -> Iterator[Capacity]:
    """Connect to, or start, Ray for the block; a local one is shut down afterwards.

    SIGTERM and SIGUSR1 reach this process alone, which can end in order: what it starts inherits that they are
    blocked, also where they go to all processes of a group. Raises DDBError where there is no Ray to be had.
    """
    address = os.environ.get("RAY_ADDRESS")
    check_address()
    import ray

    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    arguments: dict[str, Any] = {"address": address}
    if not address:
        arguments = {"address": "local", "num_cpus": num_cpus, "include_dashboard": False}
        arguments["_node_ip_address"] = "127.0.0.1"
    with _interpreter(), contextlib.nullcontext() if address else preflight.short_names(), _loopback(not address):
        try:
            with interrupt.held_back():
                ray.init(job_config=_job_config(), log_to_driver=False, logging_level=logging.ERROR, **arguments)
        except Exception as error:  # of many kinds
            ray.shutdown()
            where = f"RAY_ADDRESS={address}: no Ray to be had there" if address else "a local Ray cannot start"
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise DDBError(f"{where}: {lines[0] if lines else type(error).__name__}") from error
        try:
            yield capacity()
        finally:
            ray.shutdown()


def _job_config() -> Any:
    """By which workers import our code from here, and nothing from the folder that the user happens to be in.

    Ray puts the driver's current folder in front of its workers' import paths, unless the driver is a client's.
    """
    from ray.job_config import JobConfig

    return JobConfig(_client_job=True, _py_driver_sys_path=[str(Path(__file__).parents[1])])


@contextlib.contextmanager
def _loopback(local: bool) -> Iterator[None]:
    """Within the block, a local Ray inherits that workers talk on loopback, whatever network a profile names."""
    before = {name: os.environ.get(name) for name in LOOPBACK}
    os.environ.update(LOOPBACK if local else {})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})


@contextlib.contextmanager
def _interpreter() -> Iterator[None]:
    """Within the block Ray can start workers also where this interpreter lies in a folder with a space."""
    before = sys.executable
    if not any(character.isspace() for character in before):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="ddb-python-") as directory:
        sys.executable = str(without_spaces(Path(before), Path(directory)))
        try:
            yield
        finally:
            sys.executable = before


def capacity() -> Capacity:
    """What the connected cluster has now; nodes come and go."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    nodes = tuple((int(has.get("CPU", 0)), int(has.get("GPU", 0))) for has in alive)
    return Capacity(nodes, tuple(int(has.get("memory", 0)) for has in alive))
