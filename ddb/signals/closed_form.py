"""What the closed-form sources share: pixels as vectors, and signals from log-probabilities.

A model with so few degrees of freedom cannot memorise single images either, so it is the control beside the paper's
amplifier: what does the diffusion model add?
"""

from __future__ import annotations

from typing import Any

from ddb.data import Split
from ddb.lazy import lazy, np
from ddb.signals.amplifier import AmplifierSettings, signals_of_logits
from ddb.signals.registry import Found

torch = lazy("torch")


def fitted(classifier: Any, train: Split, val: Split, settings: AmplifierSettings) -> Found:
    """The signals of a scikit-learn classifier on the training images' whitened principal components."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = _pixels(train)  # (N, 3 H W)
    components = min(settings.components, len(x) - 1, x.shape[1])  # whitening more would enlarge rounding errors
    model = make_pipeline(StandardScaler(), PCA(components, whiten=True, random_state=0), classifier)
    model.fit(x, train.labels)
    of_train, of_val = (
        signals_of_logits(torch.from_numpy(model.predict_log_proba(_pixels(split))).float(), split)
        for split in (train, val)
    )
    return Found(of_train, of_val)


def _pixels(split: Split) -> np.ndarray:
    return np.asarray(split.images, np.float32).reshape(len(split), -1) / 255
