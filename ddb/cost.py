"""What an experiment would cost on this machine: a short probe of each kind of work, times how often it is asked for.

    for line in estimate(plan, missing_stages, "cpu"): ...

The probe runs each network of the configuration for a few steps on random images (a batch as small as needed to stay
within seconds) and scales by the number of images: seconds per CDPM step, per synthetic image, per classifier epoch.
Start-up of workers and reading of files are not in it; a stage's seconds are those of one worker with all cores.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ddb.data import BENCHMARKS, DataMissing, load_dataset
from ddb.diffusion import imported
from ddb.diffusion.denoisers import build_denoiser
from ddb.diffusion.settings import CDPMSettings
from ddb.experiment import Plan
from ddb.features.encoders import build_encoder
from ddb.stages import KINDS
from ddb.stages.features import CPU_BATCH
from ddb.store import Stage
from ddb.training.loop import TrainingSettings
from ddb.training.networks import HEADS, build_network

BUDGET = 3.0  # seconds after which a measurement takes no larger batch
BATCHES = (1, 4, 16, 64)


@dataclass(frozen=True)
class Cost:
    """Stages of one kind together: `unit` says what one of the measured things is."""

    name: str
    stages: int
    unit: str
    unit_seconds: float
    seconds: float  # of all stages of this kind, one after the other


@dataclass(frozen=True)
class Size:
    """What must be known of the data set: its classes, and images to train and validate on."""

    classes: int
    train: int
    val: int


def data_size(settings: Any) -> Size:
    """From the data set itself where it is here, else from what is published of it."""
    try:
        dataset = load_dataset(settings)
    except DataMissing:
        benchmark = BENCHMARKS[settings.name]
        if benchmark.size is None:
            raise
        return Size(*benchmark.size)
    return Size(len(dataset.classes), len(dataset["train"]), len(dataset["val"]))


def estimate(plan: Plan, stages: list[Stage], device: str = "cpu") -> list[Cost]:
    """Cost of `stages`, by kind, in the order of the pipeline. Raises DataMissing where the data's size is unknown."""
    settings = {cell.stage.inputs["data"].key: cell.config.dataset for cell in plan.cells}
    known = {key: (data_size(each), each.image_size) for key, each in settings.items()}
    probes = {shape: Probe(*shape, device) for shape in {(size.classes, pixels) for size, pixels in known.values()}}
    found: dict[str, list[tuple[float, float]]] = {}  # kind -> (seconds of the unit, seconds of the stage)
    for stage in stages:
        if KINDS[stage.name].unit:
            size, pixels = known[next(each.key for each in stage.ancestors() if each.key in known)]
            cost = KINDS[stage.name].cost(stage, probes[size.classes, pixels], size)
            found.setdefault(stage.name, []).append(cost)
    return [
        Cost(name, len(found[name]), kind.unit, found[name][0][0], sum(seconds for _, seconds in found[name]))
        for name, kind in KINDS.items()
        if name in found
    ]


class Probe:
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
            run = lambda x: network(x, 500, class_labels=torch.zeros(len(x), dtype=torch.long, device=self.device))  # noqa: E731
            self._known[key] = self._measure(network, lambda x: run(x).sample, self.pixels, bf16)
        return self._known[key]

    def classifier(self, settings: TrainingSettings) -> tuple[float, float]:
        """Seconds per image of a training step and of one network pass."""
        pixels = settings.image_size or self.pixels
        key = (settings.network, pixels)
        if key not in self._known:
            network = build_network(settings.network, self.classes).to(self.device)
            self._known[key] = self._measure(network, network, pixels, bf16=False)
        return self._known[key]

    def encoder(self, name: str) -> float:
        """Seconds per image of an encoder's forward pass."""
        key = ("encoder", name)
        if key not in self._known:
            encoder = build_encoder(name, None).to(self.device)
            images = torch.stack([encoder.preprocess(Image.new("RGB", (256, 256)))] * CPU_BATCH)
            seconds = self._time(lambda: encoder(images)) / len(images)
            self._known[key] = (seconds, seconds)
        return self._known[key][1]

    def training(self, settings: TrainingSettings, images: int, judged: int) -> tuple[float, float]:
        """Seconds of an epoch over `images`, and of training that judges `judged` images at each evaluation."""
        step, forward = (0.0, 0.0) if settings.network in HEADS else self.classifier(settings)
        every = settings.evaluate_every or max(1, images // settings.batch_size)
        looks = -(-settings.steps // every)
        return step * images, step * settings.trained_steps * settings.batch_size + forward * looks * judged

    def _measure(
        self, network: torch.nn.Module, run: Callable[[torch.Tensor], torch.Tensor], pixels: int, bf16: bool
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
