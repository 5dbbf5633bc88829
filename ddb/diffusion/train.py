"""CDPM training: the loop that one process, two Ray workers or a whole cluster run alike.

    unet = train(dataset["train"].images, labels, num_classes=10, settings=CDPMSettings(), seed=0)

Step t draws image, timestep, label drop, flip, noise and dropout masks of every position in the global batch from
(seed, t, position) and each rank computes its slice. So k workers follow one worker's trajectory up to floating-point
summation, and a resumed run continues it: bit for bit on a CPU with the same number of workers (step identity).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from diffusers import UNet2DModel
from diffusers.training_utils import EMAModel

from ddb.diffusion.denoisers import build_denoiser
from ddb.diffusion.draws import ahead, draw_batch
from ddb.diffusion.dropout import PositionalDropout
from ddb.diffusion.engine import make_engine, world
from ddb.diffusion.noise_schedules import NUM_TIMESTEPS, PREDICTIONS, noise_schedule
from ddb.diffusion.settings import CDPMSettings
from ddb.errors import DDBError, Interrupted
from ddb.randomness import derive_key, drawing_from

LOG_EVERY = 20  # steps between numbers; losses stay on the device in between
CHECKPOINT = "loop.pt"


@dataclass
class Hooks:
    """What the caller does while training goes on. `checkpoint` runs on every rank, `log` on rank 0.

    `interrupted` is asked on every rank after every step; when it is true on one, all checkpoint and stop.
    """

    log: Callable[[int, dict[str, float]], None] = lambda step, numbers: None
    checkpoint: Callable[[int, Callable[[Path], None]], None] = lambda step, save: None
    checkpoint_every: int = 10**9
    interrupted: Callable[[], bool] = lambda: False


@dataclass
class _Meter:
    """Losses by noise level since the last log: quartile 1 is the least noisy (guided-diffusion's view of a loss)."""

    losses: list[torch.Tensor] = field(default_factory=list)  # each (b,)
    timesteps: list[torch.Tensor] = field(default_factory=list)  # each (b,)
    began: float = field(default_factory=time.perf_counter)

    def add(self, losses: torch.Tensor, timesteps: torch.Tensor) -> None:
        self.losses.append(losses.detach())
        self.timesteps.append(timesteps)

    def read(self, images_per_step: int) -> dict[str, float]:
        losses, timesteps = torch.cat(self.losses), torch.cat(self.timesteps)
        numbers = {"loss": losses.mean().item()}
        for quartile in range(4):
            chosen = losses[timesteps * 4 // NUM_TIMESTEPS == quartile]
            if len(chosen):
                numbers[f"loss_quartile_{quartile + 1}"] = chosen.mean().item()
        numbers["images_per_second"] = images_per_step * len(self.losses) / (time.perf_counter() - self.began)
        self.__init__()
        return numbers


def learning_rate(settings: CDPMSettings, step: int) -> float:
    """Rate of step `step` (from 0): linear warm-up to `learning_rate`, then half a cosine to zero at the end."""
    warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    progress = max(0, step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * progress))


def ema_model(network: torch.nn.Module, decay: float) -> EMAModel:
    """Moving average of the weights with warm-up: decay at update n is min(decay, 1 - (1 + n)^-0.75).

    Without warm-up a short run would average in its random start.
    """
    return EMAModel(network.parameters(), decay=decay, use_ema_warmup=True, inv_gamma=1.0, power=0.75, foreach=True)


def train(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    settings: CDPMSettings,
    seed: int,
    hooks: Hooks | None = None,
    resume: Path | None = None,
    device: torch.device | str = "cpu",
) -> UNet2DModel:
    """Train the CDPM on `images` (N, H, W, 3) uint8 with `labels` (N,); returns the averaged network.

    Runs as this process's rank of the default process group; only rank 0 has the moving average. `resume` is a
    directory that a checkpoint hook saved into. Raises DDBError when the loss is no longer finite, and Interrupted on
    every rank, after the same step and a checkpoint, when `hooks.interrupted` says so on any.
    """
    hooks, device = hooks or Hooks(), torch.device(device)
    rank, world_size = world()
    if settings.batch_size % world_size:
        raise DDBError(f"cdpm.batch_size {settings.batch_size} is not divisible by {world_size} workers")
    share = settings.batch_size // world_size
    positions = range(rank * share, (rank + 1) * share)
    shape = (3, *images.shape[1:3])
    with drawing_from(derive_key("unet", seed)):
        network = build_denoiser(settings, images.shape[1], num_classes).train()
    dropout = PositionalDropout(network, shape) if settings.dropout else None
    engine = make_engine(network, settings, device)
    average = ema_model(network, settings.ema_decay) if settings.ema_decay and rank == 0 else None
    start = _resume(resume, engine, average) if resume else 0

    pixels = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).to(device)  # (N, 3, H, W) uint8
    classes = torch.from_numpy(np.asarray(labels)).to(device)  # (N,)
    target_of = PREDICTIONS[settings.diffusion_process[1]]
    schedule: Any = noise_schedule(settings)
    meter, anywhere = _Meter(), _agreement()

    def save(directory: Path, step: int) -> None:
        engine.save(directory)
        if rank == 0:
            torch.save({"step": step, "average": average.state_dict() if average else None}, directory / CHECKPOINT)

    def draw(step: int) -> dict[str, torch.Tensor]:
        drawn = draw_batch(step, positions, seed, len(pixels), shape, settings)
        # Only from pinned memory does a copy to the GPU go on beside the work there.
        return {name: value.pin_memory() for name, value in drawn.items()} if device.type == "cuda" else drawn

    for step, drawn in ahead(draw, range(start, settings.steps)):
        drawn = {name: value.to(device, non_blocking=True) for name, value in drawn.items()}
        clean = pixels[drawn["index"]].float() / 127.5 - 1  # (b, 3, H, W) in [-1, 1]
        clean = torch.where(drawn["flip"][:, None, None, None], clean.flip(3), clean)
        label = torch.where(drawn["drop"], num_classes, classes[drawn["index"]])  # (b,), null class where dropped
        noisy = schedule.add_noise(clean, drawn["noise"], drawn["timestep"])
        target = target_of(schedule, clean, drawn["noise"], drawn["timestep"])  # (b, 3, H, W)
        if dropout:
            dropout.draw(seed, step, positions, device)
        prediction = engine.predict(noisy, drawn["timestep"], label)
        losses = (prediction - target).square().mean((1, 2, 3))  # (b,)
        engine.update(losses.mean(), learning_rate(settings, step))
        if average:
            average.step(network.parameters())
        meter.add(losses, drawn["timestep"])
        done = step + 1
        if done % LOG_EVERY == 0 or done == settings.steps:
            numbers = meter.read(settings.batch_size)
            if not math.isfinite(numbers["loss"]):
                raise DDBError(f"cdpm: the loss is {numbers['loss']} at step {done}; lower cdpm.learning_rate "
                               f"({settings.learning_rate:g})")  # fmt: skip
            if rank == 0:
                hooks.log(done, numbers | {"learning_rate": learning_rate(settings, step)})
        stop = anywhere(hooks.interrupted()) and done < settings.steps
        if stop or (done % hooks.checkpoint_every == 0 and done < settings.steps):
            hooks.checkpoint(done, lambda directory, at=done: save(directory, at))
        if stop:
            raise Interrupted(f"cdpm: interrupted after step {done} of {settings.steps}")
    if average:
        average.copy_to(network.parameters())
    return network.eval()


def _agreement() -> Callable[[bool], bool]:
    """A function that every rank calls with its own answer and that tells all of them whether any said yes.

    Over gloo: a flag on the CPU makes no rank wait for its GPU.
    """
    if world()[1] == 1:
        return lambda mine: mine
    group: Any = dist.new_group(backend="gloo")

    def anywhere(mine: bool) -> bool:
        flag = torch.tensor([mine], dtype=torch.uint8)
        dist.all_reduce(flag, dist.ReduceOp.MAX, group)
        return bool(flag)

    return anywhere


def _resume(directory: Path, engine, average: EMAModel | None) -> int:
    engine.load(directory)
    state = torch.load(directory / CHECKPOINT, map_location="cpu", weights_only=True)
    if average:
        average.load_state_dict(state["average"])
        average.to(engine.device)
    return state["step"]
