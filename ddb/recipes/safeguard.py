"""When not to debias: a recipe is replaced by a weaker one, or by ERM, if it loses too much held-out accuracy.

A debiased classifier loses a little accuracy on the biased training distribution, since it no longer uses the shortcut:
about as much as there are images that break it. A recipe that loses far more follows something else than a shortcut,
such as hard or mislabelled images. So with a setting `safeguard: k`, candidates are tried from the strongest to the
weakest, and the first one is trained on all images whose mean accuracy in cross-validation lies at most
k * (share of flagged images) below that of ERM. If there is none, the result is ERM. No bias label is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from ddb.data import Split
from ddb.lazy import nn, np
from ddb.settings import AddedLater
from ddb.signals.cross_fit import folds
from ddb.signals.table import Signals
from ddb.training.classifier import predict
from ddb.training.loop import Context, TrainingSettings, fit, mean_loss

FOLDS = 5
Candidate = Callable[[Split, "Signals", Context], "nn.Module"]


class SafeguardSettings(TrainingSettings):
    """Settings of a recipe that can be replaced by a weaker one."""

    safeguard: Annotated[float | None, AddedLater(None)] = Field(
        default=None,
        ge=0,
        description="largest loss of cross-validated accuracy against ERM, in multiples of the share of flagged images,"
        " before a weaker variant or ERM replaces the recipe; null: never (the paper)",
    )

    @property
    def trained_steps(self) -> int:
        """Of ERM and of every candidate in cross-validation, and of the chosen one."""
        return self.steps * (1 if self.safeguard is None else FOLDS * (self.candidates + 1) + 1)

    @property
    def candidates(self) -> int:
        """How many variants a safeguard can choose from."""
        return 1


def safeguarded(
    train: Split, signals: Signals, settings: SafeguardSettings, context: Context, candidates: dict[str, Candidate]
) -> nn.Module:
    """Train the first of `candidates`, name -> function, that passes; without a safeguard, the first one.

    The decision and its numbers are appended to `context.history`.
    """
    if settings.safeguard is None:
        return next(iter(candidates.values()))(train, signals, context)
    plain: dict[str, Candidate] = {"erm": lambda train, signals, context: fit(train, mean_loss, settings, context)}
    fold = folds(train.labels, FOLDS, context.seed)  # (N,)
    allowed = settings.safeguard * float(signals.misclassified.mean())
    parts = np.unique(fold)  # fewer than FOLDS if no class has as many images
    trainings, done = len(parts) * (len(candidates) + 1) + 1, 0

    def progress(step: int, total: int, numbers: dict) -> None:
        context.progress(done * total + step, trainings * total, numbers)

    baseline, chosen, notes = 0.0, "erm", []
    for name, candidate in (plain | candidates).items():
        accuracy = 0.0
        for number in parts:
            rest, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            own = replace(context, history=[], progress=progress)
            model = candidate(train.take(rest), signals.take(rest), own)
            judged = train.take(held)
            right = predict(model, judged, settings.transform(context.workers)).argmax(1).numpy() == judged.labels
            accuracy += float(right.sum()) / len(train)
            done += 1
        notes.append(f"{name} {accuracy:.3f}")
        if name == "erm":
            baseline = accuracy
        elif baseline - accuracy <= allowed:
            chosen = name
            break
    text = f"safeguard: {chosen}; cross-validated accuracy: {', '.join(notes)}; allowed loss {allowed:.3f}"
    context.history.append({"step": 0, "note": text})
    done = trainings - 1
    return (plain | candidates)[chosen](train, signals, replace(context, progress=progress))
