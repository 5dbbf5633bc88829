"""A classifier of images that takes away with it what it needs: which encoder, which layer, and the head.

    classifier = FeatureClassifier.load("debias/classifier")
    classifier([Image.open("cat.jpg")])             # (1, C) probabilities of classifier.classes

The encoder's own weights are not copied: they come from where `ddb.features.encoders` finds them.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddb.errors import DDBError
from ddb.features.encoders import Encoder, build_encoder, default_layers
from ddb.lazy import Image, nn, np, torch
from ddb.settings import file_content
from ddb.training.classifier import load_classifier
from ddb.training.pretrained import weights_file


@dataclass(frozen=True)
class FeatureClassifier:
    """An encoder and a head."""

    encoder: Encoder
    head: nn.Module
    classes: tuple[str, ...]

    @classmethod
    def load(cls, directory: str | Path) -> FeatureClassifier:
        """From a folder of `export`. Raises DDBError if the encoder's weights are missing or other ones."""
        directory = Path(directory)
        try:
            encoder = json.loads((directory / "encoder.json").read_text())
        except FileNotFoundError:
            raise DDBError(f"no classifier of features in {directory}: encoder.json is missing") from None
        path = weights_file(encoder["encoder"], encoder["weights"])
        if file_content(str(path)) != encoder["sha256"]:
            raise DDBError(f"{path} has other weights than those that the classifier was trained with")
        classes = tuple(json.loads((directory / "classifier.json").read_text())["classes"])
        return cls(build_encoder(encoder["encoder"], path, (encoder["layer"],)), load_classifier(directory), classes)

    def __call__(self, pictures: list[Image.Image]) -> np.ndarray:
        """Probabilities (N, C) float32 of RGB images of any size."""
        features = self.encoder(torch.stack([self.encoder.preprocess(picture) for picture in pictures]))
        with torch.no_grad():
            return torch.softmax(self.head(next(iter(features.values()))), 1).numpy()


def export(classifier: Path, features: dict[str, Any], weights: str, directory: Path) -> None:
    """Copy the result of a classifier stage on features into `directory`, and add `encoder.json`.

    `features` is the configuration of the features stage, `weights` the setting that says where its file is.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("model.safetensors", "classifier.json"):
        shutil.copyfile(classifier / name, directory / name)
    settings = features["features"]
    layers = settings["layers"] or default_layers(build_encoder(settings["encoder"], None).network)
    values = {"encoder": settings["encoder"], "layer": layers[-1], "weights": weights, "sha256": features["weights"]}
    (directory / "encoder.json").write_text(json.dumps(values, indent=1) + "\n")
