"""Empirical risk minimisation, the baseline without debiasing: the mean cross-entropy of uniformly drawn images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddb.data import Split
from ddb.recipes.registry import method
from ddb.recipes.training import Batch, Run, TrainingSettings, fit

if TYPE_CHECKING:
    from torch import Tensor, nn


class ErmSettings(TrainingSettings):
    """Settings of `erm`."""


def mean_loss(batch: Batch) -> Tensor:
    """mean_i CE_i, a scalar."""
    return batch.cross_entropy.mean()


@method("erm", ErmSettings)
def erm(train: Split, signals: None, settings: ErmSettings, run: Run) -> nn.Module:
    """Train on `train` as it is."""
    return fit(train, mean_loss, settings, run)
