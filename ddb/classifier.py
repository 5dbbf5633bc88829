"""Classifiers: the networks by name, uint8 images in, logits out, and how a trained one lies on disk.

    model = load_classifier(directory)
    logits = predict(model, split.images)       # (N, C)

A new network is a function of the number of classes and one line in `NETWORKS`.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ddb.errors import DDBError
from ddb.settings import unknown


def _small_cnn(num_classes: int) -> nn.Module:
    """Three convolution blocks and a linear head, about 95,000 weights: for images of 8 to 64 pixels, on a CPU."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 32), (32, 64), (64, 128)):
        layers += [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),  # batch norm brings the offset
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, num_classes))


NETWORKS = {"small_cnn": _small_cnn}  # name -> function of the number of classes


def build_network(name: str, num_classes: int, seed: int = 0) -> nn.Module:
    """A fresh network whose weights are a function of `seed` alone; torch's global generator is left as it was.

    Raises DDBError for an unknown name.
    """
    if name not in NETWORKS:
        raise DDBError(f"network: {name!r} is unknown; {unknown(name, list(NETWORKS))}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        # Channels last halves the time of a step on a CPU, and suits the tensor cores of a GPU.
        return NETWORKS[name](num_classes).to(memory_format=torch.channels_last)


def to_tensor(images: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 in [-1, 1], laid out channels last as it came."""
    tensor = torch.from_numpy(np.array(images))  # (N, H, W, 3) uint8, a copy: a mapped file is not ours to write
    return tensor.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


@torch.no_grad()
def predict(model: nn.Module, images: np.ndarray, batch_size: int = 512) -> Tensor:
    """Logits (N, C) float32 on the CPU, in evaluation mode, computed where the model's weights are.

    The model is handed back in the mode in which it came.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    chunks = [
        model(to_tensor(images[start : start + batch_size]).to(device)).float().cpu()
        for start in range(0, len(images), batch_size)
    ]
    model.train(was_training)
    return torch.cat(chunks)


def save_classifier(directory: str | Path, model: nn.Module, network: str, classes: tuple[str, ...]) -> None:
    """Write `model.safetensors` and `classifier.json` (name of the network, names of the classes)."""
    directory = Path(directory)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, directory / "model.safetensors")
    description = {"network": network, "classes": list(classes)}
    (directory / "classifier.json").write_text(json.dumps(description, indent=1) + "\n")


def load_classifier(directory: str | Path) -> nn.Module:
    """The classifier that `save_classifier` wrote, on the CPU, in evaluation mode. Raises DDBError if there is none."""
    directory = Path(directory)
    try:
        description = json.loads((directory / "classifier.json").read_text())
        weights = load_file(directory / "model.safetensors")
    except FileNotFoundError as error:
        raise DDBError(f"no classifier in {directory}: {Path(error.filename or directory).name} is missing") from None
    model = build_network(description["network"], len(description["classes"]))
    model.load_state_dict(weights)
    return model.eval()
