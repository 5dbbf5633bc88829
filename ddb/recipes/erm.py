"""Empirical risk minimisation, the baseline without debiasing: the mean cross-entropy of uniformly drawn images."""

from __future__ import annotations

from ddb.data import Split
from ddb.lazy import nn
from ddb.recipes.registry import method
from ddb.training.loop import Context, TrainingSettings, fit, mean_loss


class ErmSettings(TrainingSettings):
    """Settings of `erm`."""


@method("erm", ErmSettings)
def erm(train: Split, signals: None, settings: ErmSettings, context: Context) -> nn.Module:
    """Train on `train` as it is."""
    return fit(train, mean_loss, settings, context)
