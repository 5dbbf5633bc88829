"""A trained classifier as a thing of its own: pictures in, probabilities out.

    model = load_model("my_model")              # what `ddb export-model` or `ddb debias` has written
    model([Image.open("cat.jpg")])              # (1, C) probabilities of model.classes

The folder holds `model.safetensors` and `classifier.json` (`ddb.training.classifier`), `preprocessing.json` and, of a
classifier of features, `encoder.safetensors`. A folder `amplifier` in it holds the Bias Amplifier in the same form.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddb.data.images import resize
from ddb.data.loading import stretched, unaugmented
from ddb.errors import DDBError
from ddb.features.encoders import Encoder, build_encoder
from ddb.lazy import Image, Tensor, nn, np, torch
from ddb.training.classifier import load_classifier

PREPROCESSING = "preprocessing.json"
ENCODER = "encoder.safetensors"


@dataclass(frozen=True)
class Model:
    """A network of preprocessed pictures (N, 3, S, S) that gives logits (N, C), and the preprocessing."""

    network: nn.Module
    preprocess: Callable[[Image.Image], Tensor]  # an RGB picture of any size -> (3, S, S) float32
    classes: tuple[str, ...]
    amplifier: Model | None = None  # what was trained to follow the bias; None if it is unknown

    def __call__(self, pictures: list[Image.Image]) -> np.ndarray:
        """Probabilities (N, C) float32."""
        device = next(self.network.parameters()).device
        images = torch.stack([self.preprocess(picture) for picture in pictures]).to(device)
        with torch.no_grad():
            return torch.softmax(self.network(images).float(), 1).cpu().numpy()

    def to(self, device: str) -> Model:
        """Move the weights to a device; returns self."""
        for model in filter(None, (self, self.amplifier)):
            model.network.to(device)
        return self


def load_model(directory: str | Path) -> Model:
    """The model of a folder, on the CPU. Raises DDBError that names what is missing."""
    directory = Path(directory)
    try:
        how = json.loads((directory / PREPROCESSING).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DDBError(f"no model in {directory}: {PREPROCESSING} is missing; ddb export-model makes one") from None
    classes = tuple(json.loads((directory / "classifier.json").read_text(encoding="utf-8"))["classes"])
    network, preprocess = load_classifier(directory), lambda picture: seen(picture, **how)
    if "encoder" in how:
        encoder = build_encoder(how["encoder"], directory / ENCODER, (how["layer"],))
        network, preprocess = with_encoder(encoder, network), encoder.preprocess
    inner = directory / "amplifier"
    return Model(network, preprocess, classes, load_model(inner) if inner.is_dir() else None)


def seen(picture: Image.Image, prepared: int | None, image_size: int | None) -> Tensor:
    """A picture as a classifier of pixels sees it, (3, S, S) float32 in [-1, 1].

    It is stretched to `prepared` pixels if these are given, as the data stage does, and with an `image_size` enlarged
    and cropped at the centre, as in `ddb.data.loading`.
    """
    image = np.asarray(resize(picture, prepared) if prepared else picture)
    image = torch.from_numpy(image.copy()).permute(2, 0, 1)  # (3, H, W) uint8
    return unaugmented((stretched(image, image_size) if image_size else image)[None], image_size)[0]


def with_encoder(encoder: Encoder, head: nn.Module) -> nn.Module:
    """One network of the encoder and the head of its only layer, so that both are exported as one."""

    class Encoded(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.head = encoder.network, head

        def forward(self, images: Any) -> Any:  # (N, 3, S, S) -> (N, C)
            return self.head(encoder.layers_of(images)[encoder.layers[0]])

    return Encoded().eval()
