"""What an experiment needs of memory, by its networks: built without their numbers (torch's meta device) and counted.

    for line in needs(plan, missing_stages): print(line)

A network that trains is counted exactly: its weights, their gradients, AdamW's two moments, the moving average. What
the backward pass keeps is the outputs of all its layers for a worker's share of the batch, which is an estimate. What
processes take beside that is in `ddb/process_memory.py`.
"""

from collections.abc import Callable
from functools import lru_cache

import torch

from ddb.backbones import build_network
from ddb.diffusion.network import build_unet
from ddb.diffusion.settings import CDPMSettings
from ddb.experiment import Plan
from ddb.process_memory import HEAD
from ddb.stages import KINDS
from ddb.stages.needs import Demand
from ddb.store import Stage

GIGABYTE = 1e9
FLOAT = 4  # bytes


def needs(plan: Plan, missing: list[Stage]) -> list[str]:
    """A line for each kind of stage that trains or samples, and for Ray's head, if anything is missing."""
    lines = []
    for name, kind in KINDS.items():
        stages = [stage for stage in missing if stage.name == name]
        if kind.unit and stages:
            workers = plan.config.resources.cdpm_workers if kind.gang else 1
            each = max(kind.memory(stage, Demand(workers)) for stage in stages)
            lines.append(f"{_gb(each)} for each {f'of {workers} workers of a ' if workers > 1 else ''}{name}")
    return [*lines, f"{_gb(HEAD)} on the first node for Ray's head and the command"] if lines else []


@lru_cache
def cdpm_bytes(settings: CDPMSettings, pixels: int, classes: int, workers: int) -> int:
    """Bytes of one worker that trains a CDPM; with ZeRO, its optimizer's states are divided among the workers."""
    with torch.device("meta"):
        network = build_unet(settings, pixels, classes)
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


def _weights(network: torch.nn.Module) -> int:
    return FLOAT * sum(each.numel() for each in network.parameters())


def _outputs(network: torch.nn.Module, run: Callable) -> int:
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


def _gb(amount: float) -> str:
    return f"about {amount / GIGABYTE:.1f} GB" if amount >= GIGABYTE / 10 else "less than 0.1 GB"
