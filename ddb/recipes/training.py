"""The loop that trains every classifier; a method is a loss over its batches and, if it wants, sampling weights.

model = fit(train, lambda batch: batch.cross_entropy.mean(), TrainingSettings(), seed=0)      # ERM
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from ddb.classifier import build_network, to_tensor
from ddb.data import Split
from ddb.errors import DDBError
from ddb.randomness import derive_seed, numpy_generator
from ddb.settings import Settings

CHECK_EVERY = 50  # steps between looks at whether the loss is still finite


class TrainingSettings(Settings):
    """How a classifier is trained; every method's settings extend it."""

    network: Literal["small_cnn"] = "small_cnn"
    steps: int = Field(600, ge=1, description="optimiser steps")
    batch_size: int = Field(64, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)


@dataclass(frozen=True)
class Batch:
    """What a loss may look at."""

    images: torch.Tensor  # (B, 3, H, W) in [-1, 1]
    labels: torch.Tensor  # (B,)
    index: torch.Tensor  # (B,) rows of the training split
    logits: torch.Tensor  # (B, C)
    cross_entropy: torch.Tensor  # (B,)
    step: int


def draw_indices(step: int, seed: int, number: int, batch_size: int, weights: np.ndarray | None) -> np.ndarray:
    """Rows of step `step`'s batch, (B,): a function of (seed, step) alone.

    Without weights, consecutive slices of one seeded permutation per epoch, epochs joined without a gap; with weights
    (N,), independent draws in proportion to them.
    """
    if weights is not None:
        return numpy_generator("weighted_batch", seed, step).choice(number, batch_size, p=weights / weights.sum())
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = {epoch: numpy_generator("epoch", seed, epoch).permutation(number) for epoch in set(positions // number)}
    return np.array([epochs[position // number][position % number] for position in positions])


def fit(
    train: Split,
    loss: Callable[[Batch], torch.Tensor],
    settings: TrainingSettings,
    seed: int,
    sampling_weights: np.ndarray | None = None,
    device: torch.device | str = "cpu",
    num_classes: int | None = None,
) -> torch.nn.Module:
    """A classifier after `settings.steps` steps of AdamW on `loss`, in eval mode (selection criterion: last).

    `num_classes` defaults to one more than the largest label. Raises DDBError when the loss is no longer finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("classifier", seed))
        model = build_network(settings.network, num_classes or int(train.labels.max()) + 1).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    labels = torch.from_numpy(train.labels)  # (N,)
    for step in range(settings.steps):
        index = draw_indices(step, seed, len(train), settings.batch_size, sampling_weights)
        images, target = to_tensor(train.images[index]).to(device), labels[index].to(device)
        logits = model(images)
        cross_entropy = functional.cross_entropy(logits, target, reduction="none")
        value = loss(Batch(images, target, torch.from_numpy(index), logits, cross_entropy, step))
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        if step % CHECK_EVERY == 0 or step == settings.steps - 1:
            _check(value.item(), step + 1, settings)
    return model.eval()


def _check(value: float, step: int, settings: TrainingSettings) -> None:
    if not math.isfinite(value):
        raise DDBError(f"the loss is {value} at step {step}; lower learning_rate ({settings.learning_rate:g})")
