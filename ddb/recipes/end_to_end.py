"""Recipe II of DDB: the Bias Amplifier's loss weights every image while the classifier trains, as in LfF.

r = L_BA / (L_BA + L_target) is near 1 for an image that the bias explains badly and the classifier not yet worse, near
0 for one that the bias explains: the loss is mean(r * L_target), with r a constant in it.

The paper's figures show the amplifier frozen (`ddb_end_to_end`); its project page speaks of joint training, which is
`ddb_end_to_end_joint`: the amplifier takes one step on synthetic images before each step of the classifier.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from ddb.data import Split
from ddb.data.loading import Images
from ddb.errors import DDBError
from ddb.lazy import Tensor, nn, np, torch
from ddb.recipes.registry import method
from ddb.recipes.safeguard import Candidate, SafeguardSettings, safeguarded
from ddb.settings import AddedLater
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.calibration import Temperature, calibrated
from ddb.signals.table import Signals, check_signals
from ddb.training.loop import Batch, Context, Learner, TrainingSettings, first_per_class, fit, mean_loss

MULTIPLES = (0.5, 0.6, 0.7, 0.85, 1, 2)  # of the temperature: the larger, the more equal the weights
EPSILON = 1e-8  # keeps 0 / 0 at 0 where both have learned an image by heart


class WeightingSettings(SafeguardSettings):
    """Settings of a method that weights by the loss of the signals."""

    temperature: Annotated[Temperature, AddedLater(1.0)] = Field(
        default=1.0, description="of the signals: 1 (the paper), another number, or fitted (ddb/signals/calibration.py)"
    )

    @property
    def candidates(self) -> int:
        return len(MULTIPLES)


class EndToEndSettings(WeightingSettings):
    """Settings of `ddb_end_to_end`."""


class JointSettings(TrainingSettings):
    """Settings of `ddb_end_to_end_joint`; the amplifier's own are the experiment's, but it takes `steps` steps."""

    @property
    def trained_steps(self) -> int:
        return 2 * self.steps


def relative_difficulty(amplifier_loss: Tensor, target_loss: Tensor) -> Tensor:
    """r = L_BA / (L_BA + L_target + eps), (B,) in [0, 1], detached: no gradient flows into the weight."""
    amplifier_loss, target_loss = amplifier_loss.detach(), target_loss.detach()
    return amplifier_loss / (amplifier_loss + target_loss + EPSILON)


def weighted_loss(amplifier_loss: Tensor, target_loss: Tensor) -> Tensor:
    """mean(r * L_target), a scalar, from per-image losses (B,)."""
    return (relative_difficulty(amplifier_loss, target_loss) * target_loss).mean()


@method("ddb_end_to_end", EndToEndSettings, signals=True)
def end_to_end(train: Split, signals: Signals, settings: EndToEndSettings, context: Context) -> nn.Module:
    """Weight by the frozen amplifier's loss on each training image."""
    check_signals(signals, train)

    def weighted(train: Split, signals: Signals, context: Context) -> nn.Module:
        amplifier_loss = torch.from_numpy(signals.loss).to(context.device)  # (N,)
        loss = lambda batch: weighted_loss(amplifier_loss[batch.index], batch.cross_entropy)  # noqa: E731
        return fit(train, loss, settings, context)

    return by_temperature(train, signals, settings, context, weighted)


def by_temperature(
    train: Split, signals: Signals, settings: WeightingSettings, context: Context, weighted: Candidate
) -> nn.Module:
    """Train `weighted` on calibrated signals; with a safeguard, at the smallest of MULTIPLES that passes."""

    rows = {path: row for row, path in enumerate(signals.paths)}

    def candidate(multiple: float) -> Candidate:
        at = calibrated(signals, settings.temperature, multiple)
        taken = lambda part: at.take(np.array([rows[path] for path in part.paths]))  # noqa: E731
        return lambda train, part, context: weighted(train, taken(part), context)

    several = settings.safeguard is not None and signals.log_probabilities is not None
    multiples = MULTIPLES if several else (1.0,)
    return safeguarded(train, signals, settings, context, {f"temperature x {m:g}": candidate(m) for m in multiples})


@method("ddb_end_to_end_joint", JointSettings, synthetic=True)
def end_to_end_joint(train: Split, signals: None, settings: JointSettings, context: Context) -> nn.Module:
    """Weight by the loss of an amplifier that learns from `context.synthetic` alongside the classifier."""
    amplifier = joint_amplifier(train, context)
    transform = amplifier.settings.transform()
    real = None if transform.from_files else Images(train, transform, context.device)

    def loss(batch: Batch) -> Tensor:
        images = real.rows(batch.index) if real else batch.images
        # Evaluation mode: in training mode the real images would enter its batch-norm statistics.
        amplifier.model.eval()
        with torch.no_grad():
            logits = amplifier.model(images)  # (B, C)
            amplifier_loss = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none")  # (B,)
        return weighted_loss(amplifier_loss, batch.cross_entropy)

    return fit(train, loss, settings, context, before_step=amplifier.step)


def joint_amplifier(train: Split, context: Context) -> Learner:
    """The untrained amplifier of a joint run; its step t is that of one that is trained beforehand."""
    if context.synthetic is None or not isinstance(context.amplifier_settings, AmplifierSettings):
        raise DDBError(f"{context.name}: needs synthetic images and the amplifier's settings")
    synthetic = first_per_class(context.synthetic, context.amplifier_settings.images_per_class)
    missing = sorted(set(train.labels.tolist()) - set(synthetic.labels.tolist()))
    if missing:
        raise DDBError(f"{context.name}: no synthetic images of class {', '.join(map(str, missing))}")
    return Learner(
        synthetic, mean_loss, context.amplifier_settings, replace(context, name="amplifier", stream="amplifier")
    )
