"""`lda`: linear discriminant analysis with the shrunk covariance of Ledoit and Wolf (2004), closed form."""

from __future__ import annotations

from ddb.data import Split
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.closed_form import fitted
from ddb.signals.registry import Found, source
from ddb.training.loop import Context


@source("lda", trains=False, own=("components", "layer", "space"), version=2)
def lda(train: Split, val: Split, synthetic: None, settings: AmplifierSettings, context: Context) -> Found:
    """Fit to the training images."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return fitted(LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"), train, val, settings)
