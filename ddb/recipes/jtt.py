"""Just Train Twice (JTT, Liu et al., ICML 2021): train briefly, then train again on more of what came out wrong.

The error set E = {i : argmax f(x_i) != y_i} of an identification model f counts `upweight` times in the classifier's
training set: an image is drawn with probability w_i / sum_j w_j, with w_i = upweight in E and 1 elsewhere.

`jtt` is the baseline: f is trained on the real images by ERM and stopped early, before it has memorised the images that
break the bias. `jtt_ddb` takes DDB's Bias Amplifier for f, which needs no such stopping. The defaults for upweight and
identification steps were chosen on the validation images of Colored Digits.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from ddb.data import Split
from ddb.lazy import nn, np
from ddb.recipes.registry import method
from ddb.recipes.safeguard import SafeguardSettings, safeguarded
from ddb.signals.table import Signals, check_signals, error_set
from ddb.training.classifier import predict
from ddb.training.loop import Context, TrainingSettings, fit, mean_loss


class UpweightSettings(TrainingSettings):
    """How much an image of the error set counts."""

    upweight: float = Field(default=50, ge=1, description="times that an image of the error set counts")


class JttDdbSettings(UpweightSettings, SafeguardSettings):
    """Settings of `jtt_ddb`."""


class JttSettings(UpweightSettings):
    """Settings of `jtt`; the identification model is trained as the classifier is, where nothing else is said."""

    identification_steps: int = Field(
        default=10,
        gt=0,
        description="optimizer steps of the identification model; 10 is half an epoch of Colored Digits",
    )
    identification_learning_rate: float | None = Field(default=None, gt=0, description="null: learning_rate")
    identification_weight_decay: float | None = Field(default=None, ge=0, description="null: weight_decay")

    @property
    def trained_steps(self) -> int:
        return self.identification_steps + self.steps


@method("jtt", JttSettings)
def jtt(train: Split, signals: None, settings: JttSettings, context: Context) -> nn.Module:
    """Upweight the error set of an identification model; progress counts the steps of both."""
    errors = identification_errors(train, settings, context.part(0, settings.trained_steps))
    return train_again(train, errors, settings, context.part(settings.identification_steps, settings.trained_steps))


@method("jtt_ddb", JttDdbSettings, signals=True)
def jtt_ddb(train: Split, signals: Signals, settings: JttDdbSettings, context: Context) -> nn.Module:
    """Upweight the error set of the frozen Bias Amplifier."""
    check_signals(signals, train)

    def candidate(train: Split, signals: Signals, context: Context) -> nn.Module:
        return train_again(train, error_set(signals), settings, context)

    return safeguarded(train, signals, settings, context, {context.name: candidate})


def identification_errors(train: Split, settings: JttSettings, context: Context) -> np.ndarray:
    """Train the identification model and return its error set on the training images, (N,) bool."""
    rate, decay = settings.identification_learning_rate, settings.identification_weight_decay
    changes = {
        "steps": settings.identification_steps,
        "learning_rate": settings.learning_rate if rate is None else rate,
        "weight_decay": settings.weight_decay if decay is None else decay,
        "selection": "last",
    }
    # Without validation images, and with a history of its own: `context.history` is the classifier's.
    own = replace(context, stream="identification", validation=None, history=[])
    model = fit(train, mean_loss, settings.model_copy(update=changes), own)
    return predict(model, train, settings.transform(context.workers)).argmax(1).numpy() != train.labels


def train_again(train: Split, errors: np.ndarray, settings: UpweightSettings, context: Context) -> nn.Module:
    """Train the classifier with the images of `errors` (N,) bool upweighted; an empty set leaves ERM."""
    if not errors.any():
        context.history.append({"step": 0, "note": "the error set is empty: no image is upweighted"})
        return fit(train, mean_loss, settings, context)
    context.history.append({"step": 0, "note": f"error set: {errors.sum()} of {len(train)} training images"})
    weights = np.where(errors, settings.upweight, 1.0)  # (N,)
    return fit(train, mean_loss, settings, context, sampling_weights=weights)
