"""The networks by name: backbones of torchvision and timm with a new head, pretrained or not, and small ones.

    network = build_network("resnet18", num_classes=6, key=0, pretrained="imagenet")

Networks of images take them in [-1, 1], and the backbones convert them to ImageNet's normalisation. `linear` and `mlp`
take feature vectors. Pretrained weights come from torchvision's cache, or from a file of the same format. Nothing is
unpickled.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

from ddb.errors import DDBError
from ddb.lazy import Tensor, models, nn, torch
from ddb.randomness import drawing_from
from ddb.settings import unknown
from ddb.training.pretrained import LITE0, PRETRAINED, pretrained_network
from ddb.training.pretrained import weights_file as encoder_weights

BACKBONES = {  # torchvision's names: of the network, of its weights, of its head
    "resnet18": ("ResNet18_Weights.IMAGENET1K_V1", "fc"),
    "resnet50": ("ResNet50_Weights.IMAGENET1K_V1", "fc"),
    "densenet121": ("DenseNet121_Weights.IMAGENET1K_V1", "classifier"),
}
HEADS = ("linear", "mlp")  # networks of feature vectors (B, D); all others take images (B, 3, S, S)
NETWORKS = dict.fromkeys(("small_cnn", *BACKBONES, LITE0, *HEADS), 1)  # name -> version of its code
SMALLEST = {"small_cnn": 8} | dict.fromkeys((*BACKBONES, LITE0), 32)  # pixels; fewer do not survive the strides
HIDDEN = 256  # units of `mlp`


def small_cnn(num_classes: int) -> nn.Module:
    """Three convolution blocks and a linear head, about 95,000 weights: for small images, on a CPU."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 32), (32, 64), (64, 128)):
        layers += [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),  # batch norm brings the offset
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, num_classes))


def build_head(name: str, inputs: int, num_classes: int) -> nn.Module:
    """`linear` or `mlp` (one hidden layer) on vectors (B, inputs), which it first standardises."""
    from ddb.training.input_layers import Standardise  # defining a module needs torch

    layers: list[nn.Module] = [nn.Linear(inputs, num_classes)]
    if name == "mlp":
        layers = [nn.Linear(inputs, HIDDEN), nn.ReLU(inplace=True), nn.Linear(HIDDEN, num_classes)]
    return nn.Sequential(Standardise(inputs), *layers)


def build_network(
    name: str, num_classes: int, key: int = 0, pretrained: str = "none", inputs: int | None = None
) -> nn.Module:
    """A network whose initial weights depend only on `key`; torch's global generator is not changed.

    `pretrained`: none, imagenet, or a file. `inputs`: the number of features, for a network of HEADS. Raises DDBError
    for an unknown name or weights that are not available.
    """
    if name not in NETWORKS:
        raise DDBError(f"network: {name!r} is unknown; {unknown(name, list(NETWORKS))}")
    with drawing_from(key):
        if name in HEADS:
            assert inputs is not None
            return build_head(name, inputs, num_classes)
        if name == "small_cnn":
            network = small_cnn(num_classes)
        else:
            network = (_lite0 if name == LITE0 else _backbone)(name, num_classes, pretrained)
    # Channels last halves the time of a step on a CPU, and suits the tensor cores of a GPU.
    return network.to(memory_format=torch.channels_last)


def _backbone(name: str, num_classes: int, pretrained: str) -> nn.Module:
    backbone, head = models.get_model(name, weights=None), BACKBONES[name][1]
    if pretrained != "none":
        state = _read(name, weights_file(name, pretrained))
        try:
            backbone.load_state_dict(state)
        except RuntimeError:
            raise DDBError(f"pretrained: {weights_file(name, pretrained)} does not hold torchvision's {name}") from None
    setattr(backbone, head, nn.Linear(getattr(backbone, head).in_features, num_classes))
    from ddb.training.input_layers import ImageNetInput  # defining a module needs torch

    return ImageNetInput(backbone)


def _lite0(name: str, num_classes: int, pretrained: str) -> nn.Module:
    """EfficientNet-Lite0, whose own normalisation maps images to [-1, 1]."""
    network: Any = pretrained_network(name, None if pretrained == "none" else weights_file(name, pretrained))[0]
    network.classifier = nn.Linear(network.classifier.in_features, num_classes)
    return network


def last_layer(model: nn.Module) -> nn.Linear:
    """The last linear layer, which gives the logits."""
    return [each for each in model.modules() if isinstance(each, torch.nn.Linear)][-1]


def weights_file(name: str, pretrained: str) -> Path:
    """The file of a backbone's pretrained weights: the named one, a package's, or that in torchvision's cache."""
    if pretrained != "imagenet":
        return Path(pretrained)
    if name == LITE0:
        return encoder_weights(name, PRETRAINED)
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(_imagenet(name).url).name


def ensure_weights(name: str, pretrained: str) -> None:
    """See that pretrained weights are there, before work starts: torchvision downloads what its cache lacks.

    Raises DDBError that says where to put the file where that fails.
    """
    if pretrained == "none" or weights_file(name, pretrained).is_file():
        return
    if pretrained != "imagenet":
        raise DDBError(f"pretrained: no file {pretrained}")
    try:
        _imagenet(name).get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise DDBError(f"pretrained: the ImageNet weights of {name} cannot be downloaded ({error}); put "
                       f"{Path(_imagenet(name).url).name} into {weights_file(name, pretrained).parent}, name a file "
                       "with pretrained=FILE, or train from scratch with pretrained=none") from None  # fmt: skip


def _imagenet(name: str) -> models.WeightsEnum:
    return models.get_weight(BACKBONES[name][0])


def _read(name: str, path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise DDBError(f"pretrained: {path}: No such file or directory")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader meets damaged bytes with whatever its parser raises
        if isinstance(error, PermissionError):
            raise DDBError(f"pretrained: {path}: {error.strerror}") from None
        raise DDBError(f"pretrained: {path} is not a file of weights") from None
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise DDBError(f"pretrained: {path} does not hold torchvision's {name}")
    # torchvision's DenseNet file is older than its network's names: norm.1 is norm1 there.
    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)\.")
    return {old.sub(r"\1\2.", key) if name.startswith("densenet") else key: value for key, value in state.items()}
