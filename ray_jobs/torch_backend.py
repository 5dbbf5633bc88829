"""PyTorch's process group for Ray Train's workers, set up by Ray's own functions, but inside the workers alone.

Ray's TorchTrainer imports PyTorch into the process that calls it and into its controller as well, 0.5 GB in each. The
placement group of the workers is written down before anything can fail: where the process group cannot be made, Ray
Train forgets the workers and leaves them what they hold until the run ends.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.train._internal.utils import get_address_and_port
from ray.train.backend import Backend, BackendConfig

from ddb.machine import LOOPBACK
from ray_jobs import placement

TIMEOUT = 1800  # seconds of a collective operation; Ray's default


class TorchBackend(Backend):
    """What Ray Train calls around training."""

    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: "TorchBackendConfig") -> None:
        """Join all workers in one process group. Raises RayTaskError where one cannot."""
        worker_group.execute_single(0, placement.remember, Path(backend_config.folder))
        address, port = worker_group.execute_single(0, get_address_and_port)
        size, kind = len(worker_group), backend_config.kind
        ray.get(
            [worker_group.execute_single_async(rank, _join, rank, size, address, port, kind) for rank in range(size)]
        )

    def on_shutdown(self, worker_group: Any, backend_config: "TorchBackendConfig") -> None:
        """Leave the process group."""
        ray.wait(worker_group.execute_async(_leave), num_returns=len(worker_group), timeout=5)


@dataclass
class TorchBackendConfig(BackendConfig):
    """`kind` is gloo or nccl; `folder` is where the placement group is written down."""

    kind: str
    folder: str

    @property
    def backend_cls(self) -> type[Backend]:
        return TorchBackend


def _join(rank: int, size: int, address: str, port: int, kind: str) -> None:
    from ray.train.torch import config

    os.environ |= {"MASTER_ADDR": address, "MASTER_PORT": str(port)}
    if address == "127.0.0.1":
        os.environ |= LOOPBACK
    config._set_torch_distributed_env_vars()
    config._setup_torch_process_group(kind, rank, size, "env://", TIMEOUT)


def _leave() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()
