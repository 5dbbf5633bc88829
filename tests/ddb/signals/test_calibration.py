"""Temperature scaling by hand, and the combination of layers."""

import numpy as np
import pytest

from ddb.data import Split
from ddb.signals.calibration import calibrated, fitted_temperature, mean_over_layers
from ddb.signals.table import Signals


def signals_of(logits, labels):
    split = Split(None, np.array(labels), [f"{i}" for i in range(len(labels))])
    return Signals.of_logits(np.array(logits, float), split)


def test_the_fitted_temperature_by_hand():
    """Log-odds 4 for class 0, right in 3 of 4 cases: probability 3/4 is log-odds log 3, so T = 4 / log 3."""
    logits, labels = [[4, 0]] * 4, [0, 0, 0, 1]
    assert fitted_temperature(np.array(logits, float), np.array(labels)) == pytest.approx(4 / np.log(3), rel=1e-3)
    found = calibrated(signals_of(logits, labels), "fitted")
    assert found.probability == pytest.approx([0.75, 0.75, 0.75, 0.25], rel=1e-3)
    assert found.loss == pytest.approx(-np.log([0.75, 0.75, 0.75, 0.25]), rel=1e-3)
    half = calibrated(signals_of(logits, labels), "fitted", 0.5)  # log-odds 2 log 3, probability 9/10
    assert half.probability[0] == pytest.approx(0.9, rel=1e-3)


def test_a_temperature_changes_the_losses_and_not_the_error_set():
    before = signals_of([[2, 0], [0, 1], [0, 3]], [0, 0, 1])
    after = calibrated(before, 2.0)
    assert after.loss == pytest.approx(np.log1p(np.exp([-1, 0.5, -1.5])))
    assert (after.misclassified == before.misclassified).all() and after.paths == before.paths
    assert calibrated(before, 1.0) is before


def test_layers_are_averaged_at_their_own_temperatures():
    """The second layer is the first with ten times the log-odds, so that calibrated both say the same."""
    labels = [0, 0, 0, 1]
    calm, confident = signals_of([[1, 0]] * 4, labels), signals_of([[10, 0]] * 4, labels)
    found = mean_over_layers([calm, confident], [calm, confident])
    assert found.probability[:3] == pytest.approx(0.75, rel=1e-3)
    val = signals_of([[-1, 0]], [0]), signals_of([[-10, 0]], [0])  # judged at the temperatures of the training images
    assert mean_over_layers([calm, confident], list(val)).probability == pytest.approx(0.25, rel=1e-3)
    assert mean_over_layers([calm], [calm]) is calm
