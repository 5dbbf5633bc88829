"""Frozen pretrained networks that map an image to feature vectors, one for each of the chosen layers.

    encoder = build_encoder("efficientnet_lite0", weights_file("efficientnet_lite0", "pretrained"), ("final",))
    features = encoder(torch.stack([encoder.preprocess(picture)]))      # {"final": (1, 1280)}

Any network of torchvision or timm, with its own preprocessing (`ddb.training.pretrained`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ddb.errors import DDBError
from ddb.lazy import Image, Tensor, nn, torch
from ddb.settings import unknown
from ddb.training.pretrained import pretrained_network

VERSION = 1  # increase it if the same settings would give other features
FINAL = "final"


class Encoder:
    """`preprocess(picture)` gives (3, S, S); calling the encoder with (B, 3, S, S) gives {layer: (B, D) float32}."""

    def __init__(
        self, network: nn.Module, preprocess: Callable[[Image.Image], Tensor], layers: tuple[str, ...] | None, name: str
    ):
        """Raises DDBError if the network does not have a layer."""
        self.preprocess = preprocess
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.layers = layers or default_layers(network)
        self._outputs: dict[str, Tensor] = {}
        modules = dict(network.named_modules())
        head = _head(network)
        for layer in self.layers:
            if layer == FINAL and head is network:
                network.register_forward_hook(lambda module, given, output: self._keep(FINAL, output))
            elif layer == FINAL and head:
                head.register_forward_pre_hook(lambda module, given: self._keep(FINAL, given[0]))
            elif layer and layer in modules:
                modules[layer].register_forward_hook(lambda module, given, output, at=layer: self._keep(at, output))
            else:
                known = [*([FINAL] if head else []), *(each for each in modules if each and each.count(".") < 2)]
                raise DDBError(f"features.layers: {name} has no layer {layer!r}; {unknown(layer, known)}")

    def to(self, device: str) -> Encoder:
        """Move the weights to a device; returns self."""
        self.network.to(device)
        return self

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Preprocessed images (B, 3, S, S) to (B, D) float32 on the CPU for each layer."""
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            found = self.layers_of(images.to(device, memory_format=torch.channels_last))
        return {layer: values.cpu() for layer, values in found.items()}

    def layers_of(self, images: Tensor) -> dict[str, Tensor]:
        """The same on the device of the network, where `images` must be."""
        self.network(images)
        outputs, self._outputs = self._outputs, {}
        if unused := [layer for layer in self.layers if layer not in outputs]:
            raise DDBError(f"features.layers: {unused[0]} does not take part in the network's forward pass")
        return {layer: outputs[layer] for layer in self.layers}

    def _keep(self, layer: str, output: Any) -> None:
        self._outputs[layer] = pooled(output).float()


def _head(network: nn.Module) -> nn.Module | None:
    """The linear layer whose input are the final features; the network itself if its output are; None: neither."""
    if get_classifier := getattr(network, "get_classifier", None):  # timm; networks such as DINO's have no classifier
        head = get_classifier()
        return network if isinstance(head, torch.nn.Identity) else head if isinstance(head, torch.nn.Linear) else None
    linear = [each for each in network.modules() if isinstance(each, torch.nn.Linear)]
    return linear[-1] if linear else None


def pooled(output: Tensor) -> Tensor:
    """Mean and standard deviation over space, (B, 2C), of (B, C, H, W), (B, H, W, C) or (B, T, C); (B, C) as it is."""
    if output.ndim == 2:
        return output
    # Images are square, so the two equal sizes are those of space. Swin's blocks return channels last.
    if output.ndim == 3 or output.shape[1] == output.shape[2] != output.shape[3]:
        output = output.flatten(1, -2).transpose(1, 2)  # (B, C, T)
    values = output.flatten(2)  # (B, C, H W)
    return torch.cat([values.mean(2), values.std(2, correction=0)], 1)


def default_layers(network: nn.Module) -> tuple[str, ...]:
    """The blocks at 1/4, 1/2 and 3/4 of the depth, and the final features.

    A block is a module of the class that occurs most often among the modules with two or more convolutions or linear
    layers: a residual block, a transformer block. Of nested classes that occur equally often, the outer one.
    """
    weighted = (torch.nn.Conv2d, torch.nn.Linear)
    names: dict[type, list[str]] = {}
    for name, module in network.named_modules():
        if name and sum(isinstance(each, weighted) for each in module.modules()) >= 2 and not _is_list(module):
            names.setdefault(type(module), []).append(name)
    counts = Counter({kind: len(found) for kind, found in names.items()})
    blocks = names[counts.most_common(1)[0][0]] if counts else []  # most_common keeps the order of equal counts
    chosen = [blocks[math.ceil(len(blocks) * quarter / 4) - 1] for quarter in (1, 2, 3)] if len(blocks) >= 4 else []
    return (*chosen, FINAL)


def _is_list(module: nn.Module) -> bool:
    return isinstance(module, (torch.nn.Sequential, torch.nn.ModuleList))


def build_encoder(name: str, weights: Path | None, layers: tuple[str, ...] | None = None) -> Encoder:
    """The encoder with the weights of a file; None: random weights, for estimates of cost.

    Raises DDBError if there is no such network or layer, or if the file contains other weights.
    """
    return Encoder(*pretrained_network(name, weights), layers, name)
