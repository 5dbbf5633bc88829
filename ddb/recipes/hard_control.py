"""A control for Recipe I: the same training with pseudo-groups of hard images that the amplifier finds ordinary.

What the amplifier misclassifies may break a shortcut, or may merely be hard. GroupDRO then could help on such images
for no other reason than that it weights hard ones. `ddb_two_step_control` is `ddb_two_step` but for the images taken
for conflicting: as many of each class, the hardest among those that the amplifier recognises. How hard an image is, a
classifier says that was not trained on it: one ERM on each half of the training images judges the other half.

`ddb audit` asks for more than this control gains. That rules out that any weighting of hard images would have helped as
much. It does not rule out that the flagged images are a rare kind of their own which follows no shortcut and gains from
more weight: no method could tell that apart by predictions. Where the amplifier misses many of the images that break
the shortcut, they are among the hard ones here, and the control gains too: the audit then says less than is true.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import field_validator

from ddb.data import Split
from ddb.lazy import nn, np, torch
from ddb.randomness import numpy_generator
from ddb.recipes.group_dro import fit_group_dro
from ddb.recipes.registry import method
from ddb.recipes.two_step import TwoStepSettings
from ddb.signals.table import Signals, check_signals, filtered_error_set, pseudo_groups
from ddb.training.classifier import predict
from ddb.training.loop import Context, fit, mean_loss


class ControlSettings(TwoStepSettings):
    """Settings of `ddb_two_step_control`; those of the `ddb_two_step` that it is compared with."""

    @field_validator("safeguard")
    @classmethod
    def _never_replaced(cls, value: float | None) -> None:
        if value is not None:
            raise ValueError("the control is never replaced by another method")

    @property
    def trained_steps(self) -> int:
        return self.steps + 2 * self.half_steps

    @property
    def half_steps(self) -> int:
        """Steps of the ERM of each half: as many passes over its images as the classifier makes over all."""
        return max(1, self.steps // 2)


@method("ddb_two_step_control", ControlSettings, signals=True)
def control(train: Split, signals: Signals, settings: ControlSettings, context: Context) -> nn.Module:
    """GroupDRO over class x {ordinary, hard}; progress counts the steps of all three trainings."""
    check_signals(signals, train)
    parts = [context.part(number * settings.half_steps, settings.trained_steps) for number in range(3)]
    flagged = filtered_error_set(signals, settings.gamma)
    loss = cross_fitted_loss(train, settings, parts[:2])
    hard = hardest(train.labels, loss, flagged, signals.misclassified)
    context.history.append({"step": 0, "note": f"control: {hard.sum()} hard images in place of {flagged.sum()}"})
    return fit_group_dro(train, pseudo_groups(train.labels, hard), settings, parts[2])


def hardest(labels: np.ndarray, loss: np.ndarray, flagged: np.ndarray, excluded: np.ndarray) -> np.ndarray:
    """As many of each class as are `flagged`, those with the highest `loss` that are not `excluded`; all (N,).

    Fewer where a class has no more.
    """
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        candidates = np.flatnonzero((labels == label) & ~excluded)
        number = int(flagged[labels == label].sum())
        chosen[candidates[np.argsort(-loss[candidates], kind="stable")[:number]]] = True
    return chosen


def cross_fitted_loss(train: Split, settings: ControlSettings, runs: list[Context]) -> np.ndarray:
    """Cross-entropy (N,) in nats of each image under an ERM of the half that it is not in.

    Both halves have as many images of each class, up to one; an only image of its class is in both.
    """
    half = np.zeros(len(train), np.int64)
    only = np.bincount(train.labels)[train.labels] == 1  # (N,) bool
    random = numpy_generator("halves", runs[0].seed)
    for label in np.unique(train.labels):
        members = random.permutation(np.flatnonzero(train.labels == label))
        half[members[: len(members) // 2]] = 1
    settings = settings.model_copy(update={"steps": settings.half_steps, "selection": "last"})
    loss = np.zeros(len(train))
    for number, context in enumerate(runs):
        # Without validation images, and with a history of its own: `context.history` is the classifier's.
        own = replace(context, stream=f"half {number}", validation=None, history=[])
        model = fit(train.take(np.flatnonzero((half == number) | only)), mean_loss, settings, own)
        judged = np.flatnonzero(half != number)
        rest = train.take(judged)
        logits = predict(model, rest, settings.transform(context.workers))  # (M, C)
        labels = torch.from_numpy(rest.labels)
        loss[judged] = torch.nn.functional.cross_entropy(logits, labels, reduction="none").numpy()
    return loss
