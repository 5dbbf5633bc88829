"""How biased are the synthetic images? A probe that knows no shortcut judges class and bias attribute of each.

Two classifiers, one per question, learn from the real training and validation images together, drawn so that every
(class, bias value) pair comes equally often: then neither answer helps with the other. Their accuracy on the test
images is printed beside every share they measure. The probe serves evaluation only; no method sees it.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from ddb.classifier import predict
from ddb.data import BiasedDataset, Split
from ddb.errors import DDBError
from ddb.recipes.erm import mean_loss
from ddb.recipes.training import Run, TrainingSettings, fit

SETTINGS = TrainingSettings(steps=400)


def train_probe(
    dataset: BiasedDataset, device: str = "cpu", progress: Callable[[int, int, dict[str, Any]], None] | None = None
) -> tuple[dict[str, nn.Module], dict[str, float]]:
    """The classifiers "class" and "bias" (see `bias_value`), and their accuracies on the test split.

    Raises DDBError where the data set has no bias labels.
    """
    if dataset["train"].bias is None:
        raise DDBError(f"dataset {dataset.name}: alignment cannot be judged without bias labels")
    real = _join(dataset["train"], dataset["val"])
    bias = bias_value(real, dataset)  # (N,)
    pair = real.labels * (bias.max() + 1) + bias  # (N,)
    weights = 1 / np.bincount(pair)[pair]  # (N,), every pair equally often
    models, accuracies = {}, {}
    for name, answers in (("class", lambda split: split.labels), ("bias", lambda split: bias_value(split, dataset))):
        run = Run(
            0, f"probe/{name}", stream=f"probe/{name}", device=device, **({"progress": progress} if progress else {})
        )
        models[name] = fit(replace(real, labels=answers(real)), mean_loss, SETTINGS, run, weights)
        correct = predict(models[name], dataset["test"]).argmax(1).numpy() == answers(dataset["test"])
        accuracies[f"probe_{name}_accuracy"] = float(correct.mean())
    return models, accuracies


def alignment(models: dict[str, nn.Module], images: Split, dataset: BiasedDataset) -> dict[str, float | int]:
    """Shares of the synthetic `images` whose bias value is their label's aligned one, and whose class is their label.

    The aligned bias value of a class is the commonest among its aligned images of any split. Raises DDBError where a
    class has none.
    """
    value, labels, aligned = (
        np.concatenate(column)
        for column in zip(
            *((bias_value(split, dataset), split.labels, split.aligned) for split in dataset.splits.values()),
            strict=True,
        )
    )  # (all images,) each
    missing = sorted(set(range(len(dataset.classes))) - set(labels[aligned].tolist()))
    if missing:
        raise DDBError(f"dataset {dataset.name}: no image of class {dataset.classes[missing[0]]} follows the bias, "
                       "so the aligned share of synthetic images has no meaning")  # fmt: skip
    aligned_value = np.array(
        [np.bincount(value[aligned & (labels == c)]).argmax() for c in range(len(dataset.classes))]
    )  # (C,)
    seen = {name: predict(model, images).argmax(1).numpy() for name, model in models.items()}  # each (N,)
    return {
        "aligned_share": float((seen["bias"] == aligned_value[images.labels]).mean()),
        "right_class_share": float((seen["class"] == images.labels).mean()),
        "images": len(images),
    }


def bias_value(split: Split, dataset: BiasedDataset) -> np.ndarray:
    """One number for all bias attributes of an image together, (N,) int64, in the order of `bias_names`."""
    numbers = [len(values) for values in dataset.bias_attributes.values()]
    return np.ravel_multi_index(tuple(split.bias.T), numbers)


def bias_names(dataset: BiasedDataset) -> tuple[str, ...]:
    """Names of what `bias_value` numbers."""
    return tuple("+".join(values) for values in itertools.product(*dataset.bias_attributes.values()))


def _join(first: Split, second: Split) -> Split:
    return Split(
        np.concatenate([first.images, second.images]),
        np.concatenate([first.labels, second.labels]),
        first.paths + second.paths,
        np.concatenate([first.bias, second.bias]),
        np.concatenate([first.aligned, second.aligned]),
    )
