"""Bytes that a network takes while it trains: built without its numbers (torch's meta device) and counted.

Its weights, their gradients, AdamW's two moments and the moving average are counted exactly. What the backward pass
keeps is the outputs of all its layers for a worker's share of the batch, which is an estimate. What processes take
beside that is in `ddb/process_memory.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from ddb.diffusion.denoisers import build_denoiser
from ddb.diffusion.settings import CDPMSettings
from ddb.lazy import nn, torch
from ddb.training.networks import build_network

FLOAT = 4  # bytes


@lru_cache
def cdpm_bytes(settings: CDPMSettings, pixels: int, classes: int, workers: int) -> int:
    """Bytes of one worker that trains a CDPM; with ZeRO, its optimizer's states are divided among the workers."""
    with torch.device("meta"):
        network = build_denoiser(settings, pixels, classes)
        images = torch.empty(1, 3, pixels, pixels)
        labels = torch.zeros(1, dtype=torch.long)
        kept = _outputs(network, lambda: network(images, torch.zeros(1), class_labels=labels))
    weights, average = _weights(network), settings.ema_decay is not None
    moments = 2 * weights // (workers if settings.zero_stage else 1)
    return weights * (2 + average) + moments + kept * (settings.batch_size // workers)


@lru_cache
def classifier_bytes(network: str, classes: int, batch: int, pixels: int) -> int:
    """Bytes of a classifier that trains with AdamW."""
    with torch.device("meta"):
        built = build_network(network, classes)
        images = torch.empty(2, 3, pixels, pixels)  # batch norm needs two
        kept = _outputs(built, lambda: built(images)) // 2
    return 4 * _weights(built) + kept * batch


def _weights(network: nn.Module) -> int:
    return FLOAT * sum(each.numel() for each in network.parameters())


def _outputs(network: nn.Module, run: Callable) -> int:
    """Bytes of the outputs of all layers."""
    total = 0

    def count(layer, inputs, output) -> None:
        nonlocal total
        total += FLOAT * output.numel() if isinstance(output, torch.Tensor) else 0

    hooks = [layer.register_forward_hook(count) for layer in network.modules() if not list(layer.children())]
    run()
    for hook in hooks:
        hook.remove()
    return total
