"""Learning from Failure (LfF, Nam et al., NeurIPS 2020): a biased network's failures weight the classifier's images.

The biased network learns alongside the classifier, on the same batches, with the generalised cross-entropy
GCE(p, y) = (1 - p_y^q) / q. Its gradient is p_y^q times that of cross-entropy, so it learns what is easy, which is the
bias, and gives up on the rest. Both networks' cross-entropies of an image, smoothed from step to step and divided by
the largest in its class, l_b and l_d, weight it: r = l_b / (l_b + l_d), and the classifier's loss is mean(r * CE).

`lff` is the baseline. Its authors' code has another factor q in GCE; here it is the paper's formula. `lff_ddb` puts
DDB's frozen Bias Amplifier in the biased network's place: Recipe II (`ddb_end_to_end`) with LfF's smoothing of the
classifier's losses and its division by class, both of which Recipe II leaves out.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from ddb.data import Split
from ddb.lazy import Tensor, nn, np, torch
from ddb.recipes.end_to_end import WeightingSettings, by_temperature, relative_difficulty
from ddb.recipes.registry import method
from ddb.signals.gce import generalised_cross_entropy
from ddb.signals.table import Signals, check_signals
from ddb.training.loop import Batch, Context, Learner, TrainingSettings, fit


class SmoothingSettings(TrainingSettings):
    """Settings of losses that are smoothed from step to step."""

    ema: float = Field(
        default=0.7, ge=0, lt=1, description="share of an image's old smoothed loss in the new one; LfF's 0.7"
    )


class LffDdbSettings(SmoothingSettings, WeightingSettings):
    """Settings of `lff_ddb`."""


class LffSettings(SmoothingSettings):
    """Settings of `lff`; the biased network is trained as the classifier is, but for its loss."""

    q: float = Field(default=0.7, gt=0, le=1, description="of GCE: towards 0 it is cross-entropy, 0.7 is LfF's")

    @property
    def trained_steps(self) -> int:
        return 2 * self.steps


def relative_to_class(losses: Tensor, labels: Tensor) -> Tensor:
    """Losses over the largest one of each image's class, (N,) in [0, 1], from (N,) and (N,); 0 where all are 0."""
    largest = torch.zeros_like(losses).scatter_reduce(0, labels, losses, "amax")  # (N,), by class; the rest stay 0
    return losses / largest.clamp(min=torch.finfo(losses.dtype).tiny)[labels]


class SmoothedLosses:
    """One network's cross-entropy of each training image, smoothed: `value` (N,), 0 until the image is seen.

    new = ema * old + (1 - ema) * loss, but an image's first loss is taken whole.
    """

    def __init__(self, labels: np.ndarray, ema: float, device: str = "cpu"):
        self.ema = ema
        self.labels = torch.from_numpy(labels).to(device)  # (N,)
        self.value = torch.zeros(len(labels), device=device)
        self.seen = torch.zeros(len(labels), dtype=torch.bool, device=device)  # (N,)

    def update(self, index: Tensor, losses: Tensor) -> None:
        """Take in the losses (B,) of the images `index` (B,); of one that is in the batch twice, their mean."""
        number = len(self.value)
        total = self.value.new_zeros(number).index_add_(0, index, losses.detach())  # (N,)
        count = self.value.new_zeros(number).index_add_(0, index, torch.ones_like(losses))  # (N,)
        loss = total / count.clamp(min=1)
        smoothed = torch.where(self.seen, self.ema * self.value + (1 - self.ema) * loss, loss)
        self.value = torch.where(count > 0, smoothed, self.value)
        self.seen |= count > 0

    def relative(self, index: Tensor) -> Tensor:
        """The smoothed losses of the images `index`, over the largest of their class so far, (B,) in [0, 1]."""
        return relative_to_class(self.value, self.labels)[index]


@method("lff", LffSettings)
def lff(train: Split, signals: None, settings: LffSettings, context: Context) -> nn.Module:
    """Weight by the losses of a biased network that takes a step on each batch of the classifier's."""
    target_losses, biased_losses = (SmoothedLosses(train.labels, settings.ema, context.device) for _ in range(2))

    def biased_loss(batch: Batch) -> Tensor:
        biased_losses.update(batch.index, batch.cross_entropy)
        return generalised_cross_entropy(batch.cross_entropy, settings.q).mean()

    biased_run = replace(context, name=f"{context.name}, biased network", stream="biased")
    biased = Learner(train, biased_loss, settings, biased_run)

    def loss(batch: Batch) -> Tensor:
        biased.learn(batch.images, batch.labels, batch.index, batch.step)
        target_losses.update(batch.index, batch.cross_entropy)
        weight = relative_difficulty(biased_losses.relative(batch.index), target_losses.relative(batch.index))  # (B,)
        return (weight * batch.cross_entropy).mean()

    return fit(train, loss, settings, context)


@method("lff_ddb", LffDdbSettings, signals=True)
def lff_ddb(train: Split, signals: Signals, settings: LffDdbSettings, context: Context) -> nn.Module:
    """Weight by the frozen amplifier's loss on each image, over the largest of its class."""
    check_signals(signals, train)

    def weighted(train: Split, signals: Signals, context: Context) -> nn.Module:
        target_losses = SmoothedLosses(train.labels, settings.ema, context.device)
        loss_of_signals = torch.from_numpy(signals.loss).to(context.device)  # (N,)
        amplifier_loss = relative_to_class(loss_of_signals, target_losses.labels)  # (N,)

        def loss(batch: Batch) -> Tensor:
            target_losses.update(batch.index, batch.cross_entropy)
            weight = relative_difficulty(amplifier_loss[batch.index], target_losses.relative(batch.index))  # (B,)
            return (weight * batch.cross_entropy).mean()

        return fit(train, loss, settings, context)

    return by_temperature(train, signals, settings, context, weighted)
