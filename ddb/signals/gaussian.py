"""`gaussian`: one Gaussian with a diagonal covariance for each class, closed form; a generative classifier.

What the conditional diffusion model learns in full, p(x | y), here has two numbers for each component and class.
"""

from __future__ import annotations

from ddb.data import Split
from ddb.recipes.training import Run
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.closed_form import fitted
from ddb.signals.registry import Found, source


@source("gaussian", trains=False, own=("components", "layer", "space"), version=2)
def gaussian(train: Split, val: Split, synthetic: None, settings: AmplifierSettings, run: Run) -> Found:
    """Fit to the training images."""
    from sklearn.naive_bayes import GaussianNB

    return fitted(GaussianNB(), train, val, settings)
