"""The Ray that everything here runs on: the one that RAY_ADDRESS names, else a private one on loopback.

A local Ray is asked for explicitly, since `ray.init()` without an address joins whatever Ray it finds on the machine.
"""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

QUIET = {  # for this process and every worker that it starts
    "OMP_WAIT_POLICY": "PASSIVE",  # waiting threads sleep: others on our cores then cost a share, not a tenfold
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # else every line shows twice
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "TOKENIZERS_PARALLELISM": "false",
}
LOCAL = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # a single-node Ray: every port on loopback
    "RAY_AUTH_MODE": "disabled",  # nobody else reaches loopback; a token in the home directory is not ours to make
}


@dataclass(frozen=True)
class Capacity:
    """What the cluster has in all."""

    cpus: int
    gpus: int


def set_environment() -> None:
    """Set what must stand before torch and ray are imported; what the user has set stays."""
    for name, value in (QUIET | ({} if os.environ.get("RAY_ADDRESS") else LOCAL)).items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def connected(num_cpus: int | None = None) -> Iterator[Capacity]:
    """Connect to, or start, Ray for the block; a local one is shut down afterwards."""
    set_environment()
    import ray

    address = os.environ.get("RAY_ADDRESS")
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    arguments = (
        {"address": address} if address else {"address": "local", "num_cpus": num_cpus, "_node_ip_address": "127.0.0.1"}
    )
    ray.init(
        log_to_driver=False, logging_level=logging.ERROR, include_dashboard=None if address else False, **arguments
    )
    try:
        total = ray.cluster_resources()
        yield Capacity(int(total.get("CPU", 0)), int(total.get("GPU", 0)))
    finally:
        ray.shutdown()
