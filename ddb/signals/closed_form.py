"""What the closed-form sources share: vectors of pixels or features, and out-of-fold log-probabilities.

These classifiers have too few degrees of freedom to memorise single images, as the paper's amplifier cannot. They are
the control that answers what the diffusion model adds. Each of them rescales its inputs, so that whitening the
principal components would change nothing (measured in results/features).
"""

from __future__ import annotations

from typing import Any

from ddb.data import Split
from ddb.lazy import np
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.cross_fit import folds
from ddb.signals.registry import Found
from ddb.signals.table import Signals

FOLDS = 5


def fitted(classifier: Any, train: Split, val: Split, settings: AmplifierSettings) -> Found:
    """The signals of a scikit-learn classifier on principal components of the standardised training images.

    A training image is judged by a classifier fitted without its fold of the training images, a validation image by
    one fitted to all of them. An image that is the only one of its class is in every fit.
    """
    from sklearn.base import clone
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, labels = _vectors(train), train.labels  # (N, D), (N,)
    fold, single = folds(labels, FOLDS, 0), np.bincount(labels)[labels] == 1  # (N,) each
    smallest = len(x) - np.bincount(fold).max()  # images in a fit
    components = min(settings.components, x.shape[1], smallest - 1)
    model = make_pipeline(StandardScaler(), PCA(components, random_state=0), classifier)
    log_probabilities = np.zeros((len(x), int(labels.max()) + 1))  # (N, C)
    for number in np.unique(fold):
        judged = fold == number
        fitted_without = clone(model).fit(x[~judged | single], labels[~judged | single])
        log_probabilities[judged] = fitted_without.predict_log_proba(x[judged])
    of_val = model.fit(x, labels).predict_log_proba(_vectors(val))
    return Found(Signals.of_logits(log_probabilities, train), Signals.of_logits(of_val, val))


def _vectors(split: Split) -> np.ndarray:
    """(N, 3 H W) in [0, 1] of images; features as they are."""
    if split.images.ndim == 2:
        return split.images
    return np.asarray(split.images, np.float32).reshape(len(split), -1) / 255
