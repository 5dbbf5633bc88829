"""What an experiment needs of memory, by its networks: built without their numbers (torch's meta device) and counted.

    for line in needs(plan, missing_stages): print(line)

A network that trains is counted exactly: its weights, their gradients, AdamW's two moments, the moving average. What
the backward pass keeps is the outputs of all its layers for a worker's share of the batch, which is an estimate. What
processes take beside that is in `ddb/process_memory.py`.
"""

from collections.abc import Callable

import torch

from ddb.backbones import build_network
from ddb.cost import data_size
from ddb.diffusion.network import build_unet
from ddb.diffusion.settings import CDPMSettings
from ddb.experiment import Plan
from ddb.process_memory import CDPM_BESIDE, CDPM_WORKER, CELL, HEAD
from ddb.store import Stage, canonical_json

GIGABYTE = 1e9
FLOAT = 4  # bytes


def needs(plan: Plan, missing: list[Stage]) -> list[str]:
    """A line for each kind of process that the missing stages start. Raises DataMissing where classes are unknown."""
    if not missing:
        return []
    keys, lines = {stage.key for stage in missing}, []
    shapes = {}  # data stage -> pixels and classes
    for cell in plan.cells:
        data = cell.stage.inputs["data"].key
        if data not in shapes:
            shapes[data] = (cell.config.dataset.image_size, data_size(cell.config.dataset).classes)
    cdpms, workers = [stage for stage in missing if "cdpm" in stage.config], plan.config.resources.cdpm_workers
    trained = {(canonical_json(stage.config["cdpm"]), shapes[stage.inputs["data"].key]) for stage in cdpms}
    if trained:
        each = max(cdpm_bytes(CDPMSettings.model_validate_json(text), *shape, workers) for text, shape in trained)
        lines.append(f"{_gb(CDPM_WORKER + each)} for each CDPM worker, {workers} to a CDPM; {_gb(each)} of it to train")
        lines.append(f"{_gb(CDPM_BESIDE)} more for each CDPM that trains at the same time; {len(cdpms)} to train")
    networks = set()
    for cell in plan.cells:
        pixels, classes = shapes[cell.stage.inputs["data"].key]
        for stage, settings in (
            (cell.classifier, cell.row.settings),
            (cell.classifier.inputs.get("amplifier"), cell.row.amplifier),
        ):
            if stage and stage.key in keys:
                networks.add((settings.network, classes, settings.batch_size, settings.image_size or pixels))
    if networks:
        each = max(classifier_bytes(*network) for network in networks)
        lines.append(
            f"{_gb(CELL + each)} for each cell, {_gb(each)} of it to train; as many at once as CPUs or GPUs allow"
        )
    return [*lines, f"{_gb(HEAD)} on the first node for Ray's head and the command itself"]


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
