"""How one optimiser step is taken: DeepSpeed (ZeRO 0, 1, 2) or plain PyTorch (DDP when there are several workers).

Both offer `predict`, `update`, `save` and `load`; the training loop does not know which it has. Weights stay fp32;
precision bf16 is autocast in both, so the moving average and the saved network never see rounded weights.
"""

import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from ddb.diffusion.settings import CDPMSettings
from ddb.machine import LOOPBACK


def make_engine(network: torch.nn.Module, settings: CDPMSettings, device: torch.device):
    """The engine that `settings.engine` names, for this process's rank in the default process group (or alone)."""
    kind = DeepSpeedEngine if settings.engine == "deepspeed" else PlainEngine
    return kind(network.to(device), settings, device)


def world() -> tuple[int, int]:
    """(rank, world size) of this process; (0, 1) without a process group."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def _optimizer(network: torch.nn.Module, settings: CDPMSettings) -> torch.optim.AdamW:
    rate, decay = settings.learning_rate, settings.weight_decay
    return torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay, fused=True)  # fused: one kernel


class PlainEngine:
    """AdamW on one process, or on every rank of DistributedDataParallel."""

    def __init__(self, network: torch.nn.Module, settings: CDPMSettings, device: torch.device):
        self.network, self.device = network, device
        self._clip = settings.gradient_clip
        self._bf16 = settings.precision == "bf16"
        devices = [device.index] if device.type == "cuda" else None
        self._model = DistributedDataParallel(network, device_ids=devices) if world()[1] > 1 else network
        self._optimizer = _optimizer(network, settings)

    def predict(self, noisy: torch.Tensor, timesteps: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The network's prediction, (b, 3, H, W) float32, for this rank's slice of the batch."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            return self._model(noisy, timesteps, class_labels=labels).sample.float()

    def update(self, loss: torch.Tensor, learning_rate: float) -> None:
        """One optimiser step on the mean of all ranks' losses, gradient clipped."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._clip)
        self._optimizer.step()

    def save(self, directory: Path) -> None:
        """Write this rank's part of the state; ranks hold copies, so rank 0 writes it all."""
        if world()[0] == 0:
            state = {"network": self.network.state_dict(), "optimizer": self._optimizer.state_dict()}
            torch.save(state, directory / "engine.pt")

    def load(self, directory: Path) -> None:
        state = torch.load(directory / "engine.pt", map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])


class DeepSpeedEngine:
    """DeepSpeed with torch's AdamW as client optimizer: no compiled operator is needed, on a CPU or a GPU."""

    def __init__(self, network: torch.nn.Module, settings: CDPMSettings, device: torch.device):
        import deepspeed

        self.network, self.device = network, device
        if not dist.is_initialized():  # DeepSpeed needs a process group even for one process
            os.environ |= LOOPBACK
            backend = "nccl" if device.type == "cuda" else "gloo"
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
        os.environ.setdefault("LOCAL_RANK", str(device.index or 0))  # it refuses to start without
        if device.type == "cpu":
            # Its shared-memory collectives are compiled at first use, for a minute, with a compiler that not every
            # machine has; gloo is as fast at these sizes.
            deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        self._engine: Any
        self._engine, *_ = deepspeed.initialize(
            model=network,
            optimizer=_optimizer(network, settings),
            config={
                "train_batch_size": settings.batch_size,
                "train_micro_batch_size_per_gpu": settings.batch_size // world()[1],
                "gradient_clipping": settings.gradient_clip,
                "zero_optimization": {"stage": settings.zero_stage},
                "zero_allow_untested_optimizer": True,
                "torch_autocast": {"enabled": settings.precision == "bf16", "dtype": "bfloat16"},
                "steps_per_print": 10**9,  # ours to print
            },
            dist_init_required=False,
        )

    def predict(self, noisy: torch.Tensor, timesteps: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The network's prediction, (b, 3, H, W) float32, for this rank's slice of the batch."""
        return self._engine(noisy, timesteps, class_labels=labels).sample.float()

    def update(self, loss: torch.Tensor, learning_rate: float) -> None:
        """One optimiser step on the mean of all ranks' losses, gradient clipped."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self._engine.backward(loss)
        self._engine.step()

    def save(self, directory: Path) -> None:
        """Write this rank's part of the state; every rank must call it."""
        self._engine.save_checkpoint(str(directory), tag="engine")

    def load(self, directory: Path) -> None:
        """Restore from files that `save` wrote; like all our reading, without unpickling arbitrary objects."""
        from deepspeed.runtime.fp16.loss_scaler import LossScaler
        from deepspeed.runtime.zero.config import ZeroStageEnum
        from deepspeed.utils.tensor_fragment import fragment_address

        # DeepSpeed's own reader unpickles whatever is there; ours admits tensors and the three classes it writes.
        self._engine.checkpoint_engine.load = partial(torch.load, weights_only=True)
        with torch.serialization.safe_globals([LossScaler, ZeroStageEnum, fragment_address]):
            path, _ = self._engine.load_checkpoint(str(directory), tag="engine")
        if path is None:
            raise FileNotFoundError(f"no DeepSpeed checkpoint in {directory}")
