"""What makes training faster, each beside what it replaced, in turn in one process on one CPU core. Needs no Ray.

    python results/speed/study.py --output results/speed/ratios.json       # about three minutes

A ratio above 1 means that the first is faster. Each is the median of ROUNDS rounds, with the smallest and the largest.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in a run

import numpy as np
import torch
from torchvision.transforms import v2

from ddb.data import Split
from ddb.data.loading import Images, ImageTransform
from ddb.diffusion.denoisers import build_denoiser
from ddb.diffusion.settings import CDPMSettings
from ddb.randomness import derive_key, drawing_from
from ddb.store.record import device_name
from ddb.training.loop import Context, Learner, TrainingSettings, mean_loss

ROUNDS, BATCH, PIXELS = 7, 64, 16
Work = Callable[[], Any]


def split(pixels: int, number: int = 256) -> Split:
    images = np.random.default_rng(0).integers(0, 256, (number, pixels, pixels, 3), np.uint8)
    return Split(images, np.arange(number) % 4, [str(i) for i in range(number)])


def augmentation() -> tuple[Work, Work]:
    """64 arrays of 32 px mirrored and shifted in one batch, or one by one through torchvision."""
    data, items = split(32), [(i, derive_key("speed", i)) for i in range(BATCH)]
    images = Images(data, ImageTransform(augment=True))
    after = [v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
    single = v2.Compose([v2.RandomCrop(32, padding=4, padding_mode="reflect"), *after])

    def one(row: int, key: int) -> torch.Tensor:
        with drawing_from(key):
            return single(torch.from_numpy(data.array[row].copy()).permute(2, 0, 1))

    return lambda: next(images.batches([items])), lambda: torch.stack([one(*item) for item in items])


def optimizer() -> tuple[Work, Work]:
    """AdamW on the CDPM of Colored Digits, fused or weight by weight."""
    found = []
    for fused in (True, False):
        weights = list(build_denoiser(CDPMSettings(), PIXELS, 10).parameters())
        for each in weights:
            each.grad = torch.ones_like(each)
        found.append(torch.optim.AdamW(weights, fused=fused).step)
    return found[0], found[1]


def steps(pixels: int, network: str, **more: Any) -> tuple[Work, Work]:
    """Training steps of a classifier with settings `more`, or without."""
    found = []
    for changes in (more, {}):
        settings = TrainingSettings(network=network, batch_size=BATCH, steps=10**6, **changes)
        learner, number = Learner(split(pixels), mean_loss, settings, Context(0, "speed")), iter(range(1, 10**6))
        found.append(lambda learner=learner, number=number: learner.step(next(number)))
    return found[0], found[1]


PAIRS: dict[str, Callable[[], tuple[Work, Work]]] = {
    "augmented batch of 64 arrays of 32 px: at once / image by image": augmentation,
    "AdamW on the CDPM: fused / weight by weight": optimizer,
    "small_cnn, 16 px, batch 64: compiled / not": lambda: steps(PIXELS, "small_cnn", compile=True),
    "small_cnn, 16 px, batch 64: bf16 / fp32": lambda: steps(PIXELS, "small_cnn", precision="bf16"),
    "resnet18, 64 px, batch 64: bf16 / fp32": lambda: steps(64, "resnet18", precision="bf16"),
    "resnet18, 64 px, batch 64: frozen / all layers": lambda: steps(64, "resnet18", frozen=True),
}


def seconds(work: Work) -> float:
    """Of one call, over a fifth of a second at least."""
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < 0.2:
        work()
        calls += 1
    return (time.perf_counter() - began) / calls


def main(output: Path | None) -> None:
    torch.set_num_threads(1)
    rows = []
    for name, pair in PAIRS.items():
        new, old = pair()
        new(), old()  # compiles, allocates
        pairs = [(seconds(new), seconds(old)) for _ in range(ROUNDS)]
        ratios = sorted(before / after for after, before in pairs)
        row = {"pair": name, "ratio": float(np.median(ratios)), "smallest": ratios[0], "largest": ratios[-1]}
        rows.append(row | {"milliseconds": 1000 * float(np.median([after for after, _ in pairs]))})
        print(f"{name:66} {row['ratio']:5.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]", flush=True)
    found = {"device": device_name(), "torch": torch.__version__, "rounds": ROUNDS, "rows": rows}
    if output:
        output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, help="JSON file to write as well")
    main(parser.parse_args().output)
