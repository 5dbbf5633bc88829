"""`gaussian`: one Gaussian for each class, closed form; a generative classifier.

What the conditional diffusion model learns in full, p(x | y), has here a mean and a covariance for each class:
diagonal, or full and shrunk (Ledoit and Wolf, 2004), which is quadratic discriminant analysis.
"""

from __future__ import annotations

from typing import Any

from ddb.data import Split
from ddb.errors import DDBError
from ddb.lazy import np
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.closed_form import FOLDS, fitted
from ddb.signals.registry import Found, source
from ddb.training.loop import Context


@source("gaussian", trains=False, own=("components", "covariance", "layer", "space"), version=2)
def gaussian(train: Split, val: Split, synthetic: None, settings: AmplifierSettings, context: Context) -> Found:
    """Fit to the training images. Raises DDBError if a class has too few images for a covariance."""
    from sklearn.naive_bayes import GaussianNB

    if settings.covariance == "diagonal":
        return fitted(GaussianNB(), train, val, settings)
    if np.bincount(train.labels).min() < FOLDS:
        raise DDBError(f"amplifier.covariance: shrunk needs {FOLDS} images of every class; use diagonal")
    return fitted(ShrunkGaussian(), train, val, settings)


class ShrunkGaussian:
    """In scikit-learn's form; covariances are shrunk towards that of independent components of equal variance."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> ShrunkGaussian:
        """From (N, D) and labels (N,); components get the same variance over all classes first."""
        from sklearn.covariance import LedoitWolf

        deviation = x.std(0)
        self.scale = np.where(deviation > 0, deviation, 1)  # (D,)
        of_class = [x[y == label] / self.scale for label in np.unique(y)]
        self.parts: list[Any] = [(np.log(len(each) / len(x)), LedoitWolf().fit(each)) for each in of_class]
        return self

    def predict_joint_log_proba(self, x: np.ndarray) -> np.ndarray:
        """log p(x, y) up to a constant, (N, C)."""
        joint = [
            log_prior + (np.linalg.slogdet(fitted.precision_)[1] - fitted.mahalanobis(x / self.scale)) / 2
            for log_prior, fitted in self.parts
        ]
        return np.stack(joint, 1)
