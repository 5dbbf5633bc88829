"""Does a flagged image break the shortcut, or is its label wrong? Three more views of it, in feature space.

    found = second_opinion(layers, signals, source, training)       # split -> Opinion
    found["train"].check_label                                      # (N,) bool

- `agrees`: whether another closed-form source flags the image too.
- `neighbours`: the share of its NEIGHBOURS nearest training images that have its label.
- `predicted`: the class that a debiased classifier predicts that was trained without the image (Learning from Failure,
  which does not use the source's signals).

A source of signals errs on both kinds of images. A debiased classifier errs on mislabelled ones only: if it predicts
the class that the source predicts, the suggestion is to check the label, otherwise that the image breaks the shortcut.
`results/features` measures how often each suggestion is right. No bias label is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ddb.data import BiasedDataset
from ddb.recipes.lff import LffSettings, lff
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.cross_fit import folds
from ddb.signals.judge import judge
from ddb.signals.table import Signals
from ddb.training.classifier import predict
from ddb.training.loop import Context, TrainingSettings

NEIGHBOURS = 10
COMPONENTS = 64  # principal components in which neighbours are found
FOLDS = 5
OTHER = {"class_mean": "lda"}  # the second source; for all others, class_mean


@dataclass(frozen=True)
class Opinion:
    """What is known about the images of one split."""

    agrees: np.ndarray  # (N,) bool
    neighbours: np.ndarray  # (N,) float, 0 to 1
    predicted: np.ndarray  # (N,) int64
    check_label: np.ndarray  # (N,) bool; of flagged images only


def second_opinion(
    layers: list[BiasedDataset], signals: dict[str, Signals], source: str, training: TrainingSettings
) -> dict[str, Opinion]:
    """Opinions on every image of the splits of `signals`, from the features of each layer, the last one last."""
    other = OTHER.get(source, "class_mean")
    settings = AmplifierSettings(source=other, space="features")
    found = judge(layers, None, settings, Context(0, "second opinion"))
    predicted, neighbours = _debiased(layers[-1], training), _neighbours(layers[-1])
    return {
        name: Opinion(
            getattr(found, name).misclassified,
            neighbours[name],
            predicted[name],
            each.misclassified & (predicted[name] == each.predicted),
        )
        for name, each in signals.items()
    }


def _debiased(dataset: BiasedDataset, training: TrainingSettings) -> dict[str, np.ndarray]:
    """The class that LfF predicts for every image, by a model that was trained without it; split -> (N,)."""
    train = dataset["train"]
    shared = training.model_dump(include=set(LffSettings.model_fields)) | {"selection": "last"}
    settings, fold = LffSettings.model_validate(shared), folds(train.labels, FOLDS, 0)
    predicted = {"train": np.zeros(len(train), np.int64)}
    for number in np.unique(fold):
        held = np.flatnonzero(fold == number)
        model = lff(train.take(np.flatnonzero(fold != number)), None, settings, Context(0, "second opinion"))
        predicted["train"][held] = predict(model, train.take(held)).argmax(1).numpy()
    model = lff(train, None, settings, Context(0, "second opinion"))
    return predicted | {name: predict(model, dataset[name]).argmax(1).numpy() for name in ("val", "test")}


def _neighbours(dataset: BiasedDataset) -> dict[str, np.ndarray]:
    """The share of the nearest training images, by cosine, that have the label of each image; split -> (N,)."""
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, StandardScaler

    train = dataset["train"]
    components = min(COMPONENTS, len(train) - 1, train.array.shape[1])
    space = make_pipeline(StandardScaler(), PCA(components, random_state=0), Normalizer()).fit(train.images)
    near = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(train) - 1)).fit(space.transform(train.images))
    shares = {}
    for name, split in dataset.splits.items():
        # Without arguments, the neighbours of the images that it was fitted to, each without itself.
        rows = near.kneighbors(None if name == "train" else space.transform(split.images), return_distance=False)
        shares[name] = (train.labels[rows] == split.labels[:, None]).mean(1)
    return shares
