"""`class_mean`: the nearest class mean, with each component divided by its deviation within classes; closed form.

The nearest centroid of Tibshirani et al. (PNAS 2002) without shrinkage, which is linear discriminant analysis with a
diagonal covariance that all classes share.
"""

from __future__ import annotations

from ddb.data import Split
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.closed_form import fitted
from ddb.signals.registry import Found, source
from ddb.training.loop import Context


@source("class_mean", trains=False, own=("components", "layer", "space"), version=2)
def class_mean(train: Split, val: Split, synthetic: None, settings: AmplifierSettings, context: Context) -> Found:
    """Fit to the training images."""
    from sklearn.neighbors import NearestCentroid

    return fitted(NearestCentroid(priors="empirical"), train, val, settings)
