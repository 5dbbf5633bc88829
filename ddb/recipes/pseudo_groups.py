"""Recipe I's pseudo-groups: which training images the Bias Amplifier says are bias-conflicting.

Groups are class x {aligned, conflicting}, numbered as `ddb.data.groups` numbers the true ones, so GroupDRO takes
either.
"""

import numpy as np


def error_set(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Conflicting iff misclassified, (N,) bool: the paper's "w/ err. set"."""
    return np.asarray(predicted) != labels


def filtered(predicted: np.ndarray, labels: np.ndarray, losses: np.ndarray, gamma: float) -> np.ndarray:
    """Conflicting iff misclassified and loss > mu + gamma * sigma, (N,) bool; mu, sigma over all N losses (ddof 0)."""
    losses = np.asarray(losses, np.float64)
    return error_set(predicted, labels) & (losses > losses.mean() + gamma * losses.std())


def pseudo_groups(labels: np.ndarray, conflicting: np.ndarray) -> np.ndarray:
    """Group of each image, (N,) int64: 2 * class + (1 if conflicting)."""
    return 2 * np.asarray(labels, np.int64) + conflicting.astype(np.int64)
