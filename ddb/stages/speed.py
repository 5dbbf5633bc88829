"""Seconds of each kind of work on this machine, by a short probe.

It runs a network for a few steps on random images (a batch as small as needed to stay within seconds) and divides by
the number of images.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddb.diffusion import imported
from ddb.diffusion.denoisers import build_denoiser
from ddb.diffusion.settings import CDPMSettings
from ddb.features.encoders import build_encoder
from ddb.lazy import Image, Tensor, nn, np, torch
from ddb.training.loop import TrainingSettings
from ddb.training.networks import HEADS, build_network

BUDGET = 3.0  # seconds after which a measurement takes no larger batch
BATCHES = (1, 4, 16, 64)
CPU_BATCH = 4  # images of an encoder's pass on a CPU: their activations stay in its cache, twice as fast as 48


@dataclass(frozen=True)
class Size:
    """What must be known of the data set: its classes, and images to train and validate on."""

    classes: int
    train: int
    val: int


class Speed:
    """Seconds per image of networks, each measured once."""

    def __init__(self, classes: int, pixels: int, device: str):
        self.classes, self.pixels, self.device = classes, pixels, device
        self._known: dict[tuple, tuple[float, float]] = {}

    def unet(self, settings: CDPMSettings) -> tuple[float, float]:
        """Seconds per image of a training step and of one network pass."""
        key = (settings.pipeline or settings,)
        if key not in self._known:
            if settings.pipeline:
                network: Any = imported.read(Path(settings.pipeline), self.classes, self.pixels).unet
            else:
                network = build_denoiser(settings, self.pixels, self.classes)
            network = network.to(self.device)
            bf16 = settings.precision == "bf16"
            labels = lambda x: torch.zeros(len(x), dtype=torch.long, device=self.device)  # noqa: E731
            run = lambda x: network(x, 500, class_labels=labels(x)).sample  # noqa: E731
            self._known[key] = self._measure(network, run, self.pixels, bf16)
        return self._known[key]

    def classifier(self, settings: TrainingSettings) -> tuple[float, float]:
        """Seconds per image of a training step and of one network pass."""
        pixels = settings.image_size or self.pixels
        key = (settings.network, pixels, settings.precision)
        if key not in self._known:
            network = build_network(settings.network, self.classes).to(self.device)
            self._known[key] = self._measure(network, network, pixels, settings.precision == "bf16")
        return self._known[key]

    def encoder(self, name: str) -> float:
        """Seconds per image of an encoder's forward pass."""
        key = ("encoder", name)
        if key not in self._known:
            encoder = build_encoder(name, None).to(self.device)
            images = torch.stack([encoder.preprocess(Image.new("RGB", (256, 256)))] * CPU_BATCH)
            self._known[key] = (np.inf, self._time(lambda: encoder(images)) / len(images))
        return self._known[key][1]

    def training(self, settings: TrainingSettings, images: int, judged: int) -> tuple[float, float]:
        """Seconds of an epoch over `images`, and of training that judges `judged` images at each evaluation."""
        step, forward = (0.0, 0.0) if settings.network in HEADS else self.classifier(settings)
        every = settings.evaluate_every or max(1, images // settings.batch_size)
        looks = -(-settings.steps // every)
        return step * images, step * settings.trained_steps * settings.batch_size + forward * looks * judged

    def _measure(
        self, network: nn.Module, run: Callable[[Tensor], Tensor], pixels: int, bf16: bool
    ) -> tuple[float, float]:
        train = forward = np.inf
        for batch in BATCHES:
            began = time.perf_counter()
            x = torch.randn(max(batch, 2), 3, pixels, pixels, device=self.device)  # batch norm needs two

            def step(x=x) -> None:
                with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=bf16):
                    output = run(x)
                output.float().square().mean().backward()
                network.zero_grad()

            train = min(train, self._time(step) / len(x))
            with torch.no_grad():
                forward = min(forward, self._time(lambda x=x: run(x)) / len(x))
            if time.perf_counter() - began > BUDGET / 2:
                break
        return train, forward

    def _time(self, function: Callable[[], Any]) -> float:
        """The faster of two runs: the first may allocate, compile or load."""
        best = np.inf
        for _ in range(2):
            began = time.perf_counter()
            function()
            if self.device != "cpu":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - began)
        return best
