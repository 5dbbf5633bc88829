"""Synthetic image sets: which image is which, how a batch of them is made, and their Parquet form.

Image `index` of class `label` under `seed` is a function of (CDPM, guidance, sampler, seed, label, index) alone, so the
set of 50 is the prefix of the set of 500 and every guidance starts from the same noise (DESIGN: sample identity).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from ddb.data import Split
from ddb.diffusion.settings import SamplingSettings
from ddb.randomness import torch_generator

if TYPE_CHECKING:
    from ddb.diffusion.pipeline import CDPMPipeline


def sample_generator(seed: int, label: int, index: int) -> torch.Generator:
    """The generator of one synthetic image: its initial noise and all noise after it."""
    return torch_generator("synthetic", seed, label, index)


def generate(
    pipeline: CDPMPipeline, labels: np.ndarray, indices: np.ndarray, seed: int, settings: SamplingSettings, batch: int
) -> np.ndarray:
    """Images (B, H, W, 3) uint8 for B <= `batch` pairs of label and index.

    The network always sees `batch` images, the missing ones copies of the first: one shape keeps compiled graphs warm
    and makes a short last batch run the same kernels as a full one.
    """
    padded = list(zip(labels, indices, strict=True))
    padded += [padded[0]] * (batch - len(labels))
    generators = [sample_generator(seed, label, index) for label, index in padded]
    images = pipeline(torch.tensor([int(label) for label, _ in padded]), generators, settings)
    return images[: len(labels)]


def to_table(images: np.ndarray, labels: np.ndarray, indices: np.ndarray, seed: int, guidance: float) -> pa.Table:
    """Rows of a synthetic set; `images` is (B, H, W, 3) uint8."""
    columns = {"image": [_png(image) for image in images], "label": labels, "index": indices}
    return pa.table(columns | {"seed": [seed] * len(labels), "guidance": [float(guidance)] * len(labels)})


def write(table: pa.Table, path: Path) -> None:
    """Write rows sorted by (label, index), whatever order they were made in."""
    pq.write_table(table.sort_by([("label", "ascending"), ("index", "ascending")]), path)


def read(directory: Path, images_per_class: int | None = None) -> Split:
    """The synthetic set of an artifact as a Split without bias labels; optionally its first images of each class."""
    table = pq.read_table(Path(directory) / "images.parquet")
    if images_per_class is not None:
        table = table.filter(table["index"].to_numpy() < images_per_class)
    images = np.stack([np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in table["image"].to_pylist()])
    labels, indices = table["label"].to_numpy().copy(), table["index"].to_numpy()
    return Split(images, labels, [f"synthetic/{c}/{i}" for c, i in zip(labels, indices, strict=True)])


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()
