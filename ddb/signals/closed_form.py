"""What the closed-form sources share: vectors of pixels or features, and out-of-fold log-probabilities.

These classifiers have too few degrees of freedom to memorise single images, as the paper's amplifier cannot. They are
the control that answers what the diffusion model adds. Each of them rescales its inputs, so that whitening the
principal components would change nothing.
"""

from __future__ import annotations

from typing import Any

from ddb.data import Split
from ddb.errors import DDBError
from ddb.lazy import np
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.cross_fit import folds
from ddb.signals.registry import Found
from ddb.signals.table import Signals

FOLDS = 5


def fitted(classifier: Any, train: Split, val: Split, settings: AmplifierSettings) -> Found:
    """The signals of a scikit-learn classifier on principal components of the standardised training images.

    A training image is judged by a classifier fitted without its fold of the training images, a validation image by
    one fitted to all of them. An image that is the only one of its class is in every fit. Raises DDBError if there are
    too few images.
    """
    from sklearn.base import clone
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, labels, classes = _vectors(train), train.labels, int(train.labels.max()) + 1  # (N, D), (N,)
    fold, single = folds(labels, FOLDS, 0), np.bincount(labels)[labels] == 1  # (N,) each
    smallest = len(x) - np.bincount(fold).max()  # images in a fit
    if smallest <= classes:
        raise DDBError(f"amplifier.source: {settings.source} needs more than {len(x)} training images for {classes} "
                       "classes")  # fmt: skip
    components = min(settings.components, x.shape[1], smallest - 1)
    model = make_pipeline(StandardScaler(), PCA(components, random_state=0), classifier)
    logits = np.zeros((len(x), classes))  # (N, C)
    for number in np.unique(fold):
        judged = fold == number
        fitted_without: Any = clone(model)
        fitted_without.fit(x[~judged | single], labels[~judged | single])
        logits[judged] = _logits(fitted_without, x[judged])
    of_val = _logits(model.fit(x, labels), _vectors(val))
    return Found(Signals.of_logits(logits, train), Signals.of_logits(of_val, val))


def _logits(model: Any, x: np.ndarray) -> np.ndarray:
    """Log-probabilities (N, C) up to a constant of each image; scikit-learn's own are clipped for two classes."""
    z, classifier = model[:-1].transform(x), model[-1]
    if hasattr(classifier, "predict_joint_log_proba"):
        return classifier.predict_joint_log_proba(z)
    scores = classifier.decision_function(z)  # (N, C), or (N,) log-odds of the second of two classes
    return scores if scores.ndim == 2 else np.stack([np.zeros_like(scores), scores], 1)


def _vectors(split: Split) -> np.ndarray:
    """(N, 3 H W) in [0, 1] of images; features as they are."""
    if split.array.ndim == 2:
        return split.array
    return np.asarray(split.array, np.float32).reshape(len(split), -1) / 255
