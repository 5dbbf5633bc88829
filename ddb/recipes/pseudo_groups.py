"""Pseudo-groups, class x {aligned, conflicting}, from the Bias Amplifier's signals: no bias label is read.

The amplifier knows the bias and little else, so the training images that it gets wrong are those that break the bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddb.data import Split
from ddb.errors import DDBError
from ddb.lazy import np

if TYPE_CHECKING:  # the amplifier trains with ddb.recipes.training: importing it here would be a circle
    from ddb.amplifier import Signals


def error_set(signals: Signals) -> np.ndarray:
    """Every image that the amplifier misclassifies, (N,) bool: the paper's "w/ err. set"."""
    return signals.misclassified.copy()


def filtered_error_set(signals: Signals, gamma: float) -> np.ndarray:
    """Misclassified *and* loss > mu + gamma * sigma, (N,) bool; mu, sigma (ddof 0) of all the amplifier's losses.

    The filter drops images that the amplifier gets wrong by a little: hard ones, rather than conflicting ones.
    """
    loss = signals.loss.astype(np.float64)
    return signals.misclassified & (loss > loss.mean() + gamma * loss.std())


def pseudo_groups(labels: np.ndarray, conflicting: np.ndarray) -> np.ndarray:
    """(N,) int64: 2 * class + (1 if taken for conflicting), numbered as the true groups in `ddb.data.groups`."""
    return 2 * labels + conflicting.astype(np.int64)


def check_signals(signals: Signals, split: Split) -> None:
    """Raise DDBError unless row i of the signals is image i of the split: a shifted signal would weight at random."""
    if signals.paths != split.paths or not np.array_equal(signals.labels, split.labels):
        raise DDBError(
            f"signals: their {len(signals.paths)} rows are not the {len(split)} images of the split in the same order"
        )
