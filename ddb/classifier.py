"""Classifiers: the small network for images of 32 px and less, prediction, and the saved form (safetensors + JSON)."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn


class SmallConvNet(nn.Sequential):
    """Three convolutions and a linear head, about 0.1 M parameters; (B, 3, H, W) in [-1, 1] to (B, classes)."""

    def __init__(self, num_classes: int):
        def block(inputs: int, outputs: int) -> list[nn.Module]:
            return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]

        super().__init__(
            *block(3, 32),
            nn.MaxPool2d(2),
            *block(32, 64),
            nn.MaxPool2d(2),
            *block(64, 128),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),  # (B, 512)
            nn.Linear(512, num_classes),
        )


NETWORKS = {"small_cnn": SmallConvNet}


def build_network(name: str, num_classes: int) -> nn.Module:
    """A freshly initialised network; `name` is a key of `NETWORKS`."""
    return NETWORKS[name](num_classes)


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def predict(model: nn.Module, images: np.ndarray, batch_size: int = 512) -> torch.Tensor:
    """Logits (N, C), float32 on the CPU, of uint8 images (N, H, W, 3); leaves the model in eval mode."""
    device = next(model.parameters()).device
    model.eval()
    parts = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    return torch.cat([model(to_tensor(part).to(device)).float().cpu() for part in parts])


def save_classifier(directory: Path, model: nn.Module, network: str, classes: tuple[str, ...]) -> None:
    """Write model.safetensors and classifier.json into an existing directory."""
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, directory / "model.safetensors")
    (directory / "classifier.json").write_text(json.dumps({"network": network, "classes": list(classes)}))


def load_classifier(directory: Path) -> nn.Module:
    """The classifier that `save_classifier` wrote, on the CPU, in eval mode."""
    description = json.loads((directory / "classifier.json").read_text())
    model = build_network(description["network"], len(description["classes"]))
    model.load_state_dict(load_file(directory / "model.safetensors"))
    return model.eval()
