"""Deep Feature Reweighting (DFR, Kirichenko et al., ICLR 2023): ERM, its last layer retrained on balanced groups.

An oracle that needs bias labels of the validation images: logistic regressions with an L1 penalty on the standardised
inputs of the last layer, each on a random subset with equally many images of every group, are averaged (DFR_val^Tr).
The authors select the penalty with bias labels, here it is a setting.
"""

from __future__ import annotations

import warnings
from typing import Any

from pydantic import Field

from ddb.data import Split, groups
from ddb.errors import DDBError
from ddb.lazy import nn, np, torch
from ddb.randomness import numpy_generator
from ddb.recipes.last_layer import embeddings, replace_last_layer
from ddb.recipes.registry import method
from ddb.training.loop import Context, TrainingSettings, fit, mean_loss


class DfrSettings(TrainingSettings):
    """Settings of `dfr`; the others are of its ERM."""

    inverse_penalty: float = Field(default=1.0, gt=0, description="C of the logistic regressions: smaller is sparser")
    subsets: int = Field(default=10, ge=1, description="balanced subsets whose regressions are averaged")


@method("dfr", DfrSettings, groups=True)
def dfr(train: Split, signals: None, settings: DfrSettings, context: Context) -> nn.Module:
    """ERM on the training images, the last layer on the validation images."""
    import sklearn
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    if context.validation is None or context.validation.aligned is None:
        raise DDBError("dfr: needs validation images with bias labels")
    group_of = groups(context.validation)  # (V,)
    if missing := set(train.labels.tolist()) - set(context.validation.labels.tolist()):
        raise DDBError(f"dfr: no validation images of class {min(missing)}")
    model = fit(train, mean_loss, settings, context)
    x = embeddings(model, context.validation, settings.transform(context.workers)).numpy()  # (V, D)
    scaler, random = StandardScaler().fit(x), numpy_generator("dfr", context.seed)
    old = tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 8)
    l1: dict[str, Any] = {"penalty": "l1"} if old else {"l1_ratio": 1}
    weights, biases = [], []
    for _ in range(settings.subsets):
        rows = balanced_rows(group_of, random)
        regression: Any = LogisticRegression(
            C=settings.inverse_penalty, solver="saga", max_iter=300, tol=1e-3, random_state=0, **l1
        )
        with warnings.catch_warnings():  # the last digits of the weights do not matter: subsets differ by far more
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.fit(scaler.transform(x[rows]), context.validation.labels[rows])
        weights.append(_for_every_class(regression.coef_))  # (C, D)
        biases.append(_for_every_class(regression.intercept_[:, None])[:, 0])  # (C,)
    weight = np.mean(weights, 0) / scaler.scale_  # of inputs that are not standardised
    bias = np.mean(biases, 0) - weight @ scaler.mean_
    replace_last_layer(model, *(torch.from_numpy(each.astype(np.float32)) for each in (weight, bias)))
    return model


def balanced_rows(group_of: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Rows of as many images of every group as the smallest one has, drawn without replacement."""
    groups, counts = np.unique(group_of, return_counts=True)
    chosen = [random.choice(np.flatnonzero(group_of == group), counts.min(), replace=False) for group in groups]
    return np.sort(np.concatenate(chosen))


def _for_every_class(values: np.ndarray) -> np.ndarray:
    """(C, D); scikit-learn keeps one row for two classes, the log-odds of the second."""
    return values if len(values) > 1 else np.concatenate([-values, values]) / 2
