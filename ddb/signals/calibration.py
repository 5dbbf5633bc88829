"""Temperature scaling of signals (Guo et al., ICML 2017), fitted on the class labels of the real training images.

    calibrated(signals, "fitted").loss

Recipe II weights by l_signal / (l_signal + l_target), which presupposes that both losses are on one scale. The longer
an amplifier trains, the more confident it is, and the larger its loss on the images that it misclassifies. The
temperature T minimises the mean cross-entropy of softmax(log p / T). No bias label is used.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ddb.lazy import np
from ddb.signals.table import Signals, log_softmax

Temperature = Annotated[float, Field(gt=0)] | Literal["fitted"]
BOUNDS = (-4.0, 6.0)  # of log T: if nothing is misclassified, the smallest temperature is the best


def fitted_temperature(log_probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The T in [exp(-4), exp(6)] with the smallest mean cross-entropy; (N, C) and (N,)."""
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(labels))
    loss = lambda log_t: -log_softmax(log_probabilities / np.exp(log_t))[rows, labels].mean()  # noqa: E731
    found: Any = minimize_scalar(loss, bounds=BOUNDS, method="bounded")
    return float(np.exp(found.x))


def calibrated(signals: Signals, temperature: Temperature, multiple: float = 1.0) -> Signals:
    """The signals with log-probabilities divided by the temperature times `multiple`; the predicted class stays.

    At temperature 1 they are returned as they are, also if the source has no log-probabilities.
    """
    if temperature == "fitted":
        temperature = fitted_temperature(signals.logits, signals.labels)
    scale = temperature * multiple
    return signals if scale == 1 else signals.with_logits(signals.logits / scale)


def mean_over_layers(layers: list[Signals], judged: list[Signals]) -> Signals:
    """Signals that combine those from several layers of an encoder: the mean of their calibrated log-probabilities.

    `judged[i]` are to be combined, at the temperature that fits `layers[i]`, the signals of the same layer on the
    training images. Without calibration, the most confident layer would decide alone.
    """
    if len(judged) == 1:
        return judged[0]
    temperatures = [fitted_temperature(each.logits, each.labels) for each in layers]
    scaled = [log_softmax(each.logits / t) for each, t in zip(judged, temperatures, strict=True)]
    return judged[0].with_logits(np.mean(scaled, 0))
