"""Speed of training and sampling on this machine's device, and the share of the device's limit. Needs no Ray.

    python results/gpu/study.py --output results/gpu/speed.json   # GPU: about two minutes; CPU: much smaller sizes

The timed code is that of an experiment: `ddb.diffusion.train`, the pipeline, and the classifiers' training
loop. The limit is the rate of a large matrix product (in bf16, on a CPU in fp32), measured in the same process. A
multiplication with its addition counts as two operations, and a training step as three forward passes.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ddb.data import Split
from ddb.diffusion import synthetic
from ddb.diffusion.denoisers import build_denoiser
from ddb.diffusion.noise_schedules import noise_schedule
from ddb.diffusion.pipeline import CDPMPipeline
from ddb.diffusion.settings import CDPMSettings, SamplingSettings
from ddb.diffusion.train import Hooks, train
from ddb.store.record import device_name
from ddb.training.loop import Context, Learner, TrainingSettings, mean_loss
from ddb.training.networks import build_network

CLASSES, IMAGES = 4, 1024
PAPER = {  # the authors' network for 64 px images
    "channels": (128, 256, 256, 256),
    "layers_per_block": 2,
    "attention_resolutions": (16,),
    "dropout": 0.15,
    "engine": "ddp",
}
PRECISIONS: tuple[dict[str, Any], ...] = (
    {"precision": "fp32"},
    {"precision": "tf32"},
    {"precision": "bf16"},
    {"precision": "bf16", "compile": True},
)
SMALL = {"channels": (32, 64), "dropout": 0.15, "engine": "ddp"}


def measure(device: torch.device) -> dict[str, Any]:
    """Rates by part; on a CPU with a small network at 16 px, so that it ends."""
    fast = device.type == "cuda"
    size, view, options = (64, 224, PAPER) if fast else (16, 16, SMALL)
    limit = matrix_rate(device)
    found: dict[str, Any] = {"device": device_name(), "torch": torch.__version__, "matrix_product_tflops": limit}
    rows = []
    for batch in (32, 128) if fast else (16,):
        for precision in ("fp32", "bf16") if fast else ("fp32",):
            settings = CDPMSettings(**options, batch_size=batch, precision=precision, steps=80 if fast else 60)
            rate, operations = train_cdpm(settings, size, device)
            rows.append(_row(f"CDPM training, {size} px, batch {batch}, {precision}", rate, 3 * operations, limit))
    for batch in (50, 250) if fast else (10,):
        rate, operations = sample(CDPMSettings(**options), size, batch, device)
        # A step of guidance sees every image twice.
        rows.append(_row(f"sampling, {size} px, batch {batch}, 20 steps, w = 1", rate, 2 * 20 * operations, limit))
    network = "resnet50" if fast else "small_cnn"
    for how in PRECISIONS if fast else PRECISIONS[:3]:  # a compiler is not on every CPU's machine
        rate, operations = train_classifier(network, view, 128 if fast else 8, device, how)
        named = ", ".join([how["precision"], *(name for name in how if name == "compile")])
        rows.append(_row(f"{network} training, {view} px, {named}", rate, 3 * operations, limit))
    return found | {"rows": rows}


def _row(part: str, images_per_second: float, operations: float, limit: float) -> dict[str, Any]:
    share = images_per_second * operations / (limit * 1e12)
    return {"part": part, "images_per_second": images_per_second, "operations_per_image": operations,
            "share_of_limit": share}  # fmt: skip


def matrix_rate(device: torch.device) -> float:
    """Tera-operations per second of a matrix product, the best of 13: in bf16, on a CPU in fp32."""
    number, kind = (8192, torch.bfloat16) if device.type == "cuda" else (1024, torch.float32)
    left, right = (torch.randn(number, number, device=device, dtype=kind) for _ in range(2))
    return 2 * number**3 / min(_seconds(lambda: left @ right, device) for _ in range(13)) / 1e12


def train_cdpm(settings: CDPMSettings, size: int, device: torch.device) -> tuple[float, float]:
    """Images per second of the last logged steps, and operations of one image's forward pass."""
    rates = []
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, size, size, 3), np.uint8)
    hooks = Hooks(log=lambda step, numbers: rates.append(numbers["images_per_second"]))
    train(images, np.arange(IMAGES) % CLASSES, CLASSES, settings, 0, hooks, device=device)
    return float(np.median(rates[1:])), _operations(build_denoiser(settings, size, CLASSES), size)


def sample(settings: CDPMSettings, size: int, batch: int, device: torch.device) -> tuple[float, float]:
    """Images per second of whole batches, from noise to bytes, and operations of one image's pass."""
    network = build_denoiser(settings, size, CLASSES)
    operations = _operations(network, size)
    pipeline = CDPMPipeline(network.to(device).eval(), noise_schedule(settings))
    labels, wanted = np.zeros(batch, int), SamplingSettings(sampler_steps=20)
    pipeline.set_progress_bar_config(disable=True)

    def draw() -> None:
        synthetic.generate(pipeline, labels, np.arange(batch), 0, wanted, batch)

    return batch / float(np.median([_seconds(draw, device) for _ in range(4)][1:])), operations


def train_classifier(
    network: str, size: int, batch: int, device: torch.device, how: dict[str, Any]
) -> tuple[float, float]:
    """Images per second of the training loop from arrays in memory, and operations of one image's forward pass."""
    images = np.random.default_rng(0).integers(0, 256, (4 * batch, size, size, 3), np.uint8)
    labels = np.arange(len(images)) % CLASSES
    split = Split(images, labels, [str(number) for number in range(len(images))])
    settings = TrainingSettings(network=network, batch_size=batch, optimizer="sgd", learning_rate=1e-3, **how)
    learner = Learner(split, mean_loss, settings, Context(0, "speed", device=str(device)))
    seconds = [_seconds(lambda at=step: learner.step(at), device) for step in range(1, 24 if size > 64 else 8)]
    operations = _operations(build_network(network, CLASSES), size)
    return batch / float(np.median(seconds[3:])), operations


def _operations(network: nn.Module, size: int) -> float:
    """Of one image through `network` once."""
    network = network.to("cpu").eval()
    image = torch.zeros(1, 3, size, size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        if hasattr(network, "class_embedding"):
            network(image, 0, class_labels=torch.zeros(1, dtype=torch.long))
        else:
            network(image)
    return float(counter.get_total_flops())


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    wait()
    began = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="JSON file to write as well")
    arguments = parser.parse_args()
    found = measure(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    print(f"{found['device']}, matrix product {found['matrix_product_tflops']:.1f} Top/s")
    for row in found["rows"]:
        print(f"{row['part']:55} {row['images_per_second']:9.0f} images/s {row['share_of_limit']:6.1%} of that")
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(found, indent=1) + "\n")
