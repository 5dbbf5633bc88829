"""The signals of an amplifier, written by hand."""

import numpy as np

from ddb.recipes import get_method
from ddb.signals.table import Signals
from ddb.training.loop import Context


def signals(split, wrong, loss=None):
    """Signals that misclassify `wrong` (N,) bool; the loss (N,) is 5 for those images and 0.1 for the others."""
    loss = np.asarray(np.where(wrong, 5, 0.1) if loss is None else loss, np.float32)
    predicted = np.where(wrong, (split.labels + 1) % (split.labels.max() + 1), split.labels)
    return Signals(list(split.paths), split.labels, predicted, loss, np.exp(-loss), np.asarray(wrong))


def trained(name, train, given=None, run=None, **settings):
    """The model that a method trains, and its run."""
    method, run = get_method(name), run or Context(seed=0, name=name)
    return method.function(train, given, method.settings_class(**settings), run), run
