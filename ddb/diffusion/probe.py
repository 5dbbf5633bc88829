"""How biased are the synthetic images? A probe that knows no shortcut judges class and bias attribute of each.

Two classifiers, one per question, learn from the real training and validation images together, drawn so that every
(class, bias value) pair comes equally often: then neither answer helps with the other. Their accuracy on the test
images is printed beside every share they measure, and their errors there are taken off the aligned share. The probe
serves evaluation only; no method sees it.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import binomtest
from torch import nn

from ddb.data import BiasedDataset, Split
from ddb.errors import DDBError
from ddb.training.classifier import predict
from ddb.training.loop import Context, TrainingSettings, fit, mean_loss

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
        context = Context(0, f"probe/{name}", stream=f"probe/{name}", device=device)
        if progress:
            context.progress = progress
        models[name] = fit(replace(real, labels=answers(real)), mean_loss, SETTINGS, context, weights)
        correct = predict(models[name], dataset["test"]).argmax(1).numpy() == answers(dataset["test"])
        accuracies[f"probe_{name}_accuracy"] = float(correct.mean())
    return models, accuracies


def alignment(models: dict[str, nn.Module], images: Split, dataset: BiasedDataset) -> dict[str, float | None]:
    """How many of the synthetic `images` follow the bias, and how many show the class of their label.

    The aligned bias value of a class is the commonest among its aligned images of any split. The probe errs, too:
    `aligned_share_seen` is the share that it takes for aligned, and `aligned_share` is what that comes to once its
    errors on the test images are taken off (Rogan and Gladen, 1978). `aligned_share_low` and `aligned_share_high` bound
    it: 95 % Wilson intervals of all three rates, at their worst together. Where the test images cannot tell the
    probe's errors, `aligned_share` is what it saw, and the bounds are None. Raises DDBError where a class has no
    aligned image.
    """
    columns = [(bias_value(split, dataset), split.labels, split.aligned) for split in dataset.splits.values()]
    value, labels, aligned = map(np.concatenate, zip(*columns, strict=True))  # (all images,) each
    classes = range(len(dataset.classes))
    missing = sorted(set(classes) - set(labels[aligned].tolist()))
    if missing:
        raise DDBError(f"dataset {dataset.name}: no image of class {dataset.classes[missing[0]]} follows the bias, "
                       "so the aligned share of synthetic images has no meaning")  # fmt: skip
    aligned_value = np.array([np.bincount(value[aligned & (labels == c)]).argmax() for c in classes])  # (C,)
    seen = {name: predict(model, images).argmax(1).numpy() for name, model in models.items()}  # each (N,)
    taken = seen["bias"] == aligned_value[images.labels]  # (N,) for aligned
    test = dataset["test"]
    test_taken = predict(models["bias"], test).argmax(1).numpy() == aligned_value[test.labels]  # (T,)
    follows = bias_value(test, dataset) == aligned_value[test.labels]  # (T,)
    return {
        **corrected_share(taken, test_taken[follows], test_taken[~follows]),
        "right_class_share": float((seen["class"] == images.labels).mean()),
        "images": len(images),
    }


def corrected_share(taken: np.ndarray, hits: np.ndarray, false_alarms: np.ndarray) -> dict[str, float | None]:
    """The share that is aligned, given which images are `taken` (N,) for aligned by a judge that errs.

    `hits` (P,) and `false_alarms` (Q,) say which of P aligned and of Q conflicting images it takes for aligned. With
    rates t, h and f of the three, the share is (t - f) / (h - f). It falls with h and f, and grows with t.
    """
    seen = float(taken.mean())
    found = {"aligned_share": seen, "aligned_share_seen": seen, "aligned_share_low": None, "aligned_share_high": None}
    if not len(hits) or not len(false_alarms):
        return found
    (t_low, t_high), (h_low, h_high), (f_low, f_high) = map(_wilson, (taken, hits, false_alarms))
    if h_low <= f_high:
        return found
    share = lambda t, h, f: float(np.clip((t - f) / (h - f), 0, 1))  # noqa: E731
    return found | {
        "aligned_share": share(seen, hits.mean(), false_alarms.mean()),
        "aligned_share_low": share(t_low, h_high, f_high),
        "aligned_share_high": share(t_high, h_low, f_low),
    }


def _wilson(yes: np.ndarray) -> tuple[float, float]:
    """95 % interval of the rate behind `yes` (N,) bool."""
    found = binomtest(int(yes.sum()), len(yes)).proportion_ci(0.95, "wilson")
    return found.low, found.high


def bias_value(split: Split, dataset: BiasedDataset) -> np.ndarray:
    """One number for all bias attributes of an image together, (N,) int64, in the order of `bias_names`."""
    numbers = [len(values) for values in dataset.bias_attributes.values()]
    assert split.bias is not None
    return np.asarray(np.ravel_multi_index(tuple(split.bias.T), numbers))


def bias_names(dataset: BiasedDataset) -> tuple[str, ...]:
    """Names of what `bias_value` numbers."""
    return tuple("+".join(values) for values in itertools.product(*dataset.bias_attributes.values()))


def _join(first: Split, second: Split) -> Split:
    names = ("images", "labels", "bias", "aligned")
    images, labels, bias, aligned = (np.concatenate([getattr(first, name), getattr(second, name)]) for name in names)
    return Split(images, labels, first.paths + second.paths, bias, aligned)
