"""`cross_fit`: every training image is judged by a network that was trained without it, so none is memorised.

The idea of XRM (Pezeshki et al., ICML 2024), without its flipping of labels. Validation images are judged by the
mean of all networks' log-probabilities.
"""

from __future__ import annotations

from dataclasses import replace

from ddb.data import Split
from ddb.lazy import np, torch
from ddb.randomness import numpy_generator
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.registry import Found, source
from ddb.signals.table import Signals
from ddb.training.classifier import predict
from ddb.training.loop import Context, fit, mean_loss


@source("cross_fit", own=("folds", "layer", "space"))
def cross_fit(train: Split, val: Split, synthetic: None, settings: AmplifierSettings, context: Context) -> Found:
    """Train a network on all but each of `folds` parts of the training images."""
    fold, transform = folds(train.labels, settings.folds, context.seed), settings.transform(context.workers)
    only = np.bincount(train.labels)[train.labels] == 1  # (N,) bool, the only image of a class is in every training
    of_train, of_val = torch.zeros(len(train), int(train.labels.max()) + 1), []  # (N, C)
    for number in range(settings.folds):
        own = replace(context, stream=f"{context.stream} {number}", history=[])
        model = fit(train.take(np.flatnonzero((fold != number) | only)), mean_loss, settings, own)
        judged = np.flatnonzero(fold == number)
        of_train[judged] = predict(model, train.take(judged), transform)
        of_val.append(predict(model, val, transform).log_softmax(1))  # (V, C)
    mean = torch.stack(of_val).mean(0)  # (V, C)
    return Found(Signals.of_logits(of_train.numpy(), train), Signals.of_logits(mean.numpy(), val))


def folds(labels: np.ndarray, number: int, seed: int) -> np.ndarray:
    """(N,) int64 from 0 to `number` - 1: equal parts of every class, up to one image."""
    random, fold = numpy_generator("folds", seed), np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        fold[members] = np.arange(len(members)) % number
    return fold
