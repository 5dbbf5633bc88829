"""`xrm`: two networks that each learn one half of the training images, and imitate each other's confident mistakes.

Cross-risk minimisation (Pezeshki et al., ICML 2024). At every step the twins see the same batch; each learns the images
of its own half, and judges those of the other. Then the label of each image becomes the held-out prediction with the
probability (p - 1/C) C / (C - 1), where p is that prediction's probability: what both halves share, the shortcut, takes
over labels that contradict it. The signals are held-out predictions beside the original labels; validation images are
judged by the mean of both networks' log-probabilities. XRM's choice of settings by the number of flips is not here.
"""

from __future__ import annotations

from dataclasses import replace

from ddb.data import Split
from ddb.lazy import Tensor, torch
from ddb.randomness import torch_generator
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.cross_fit import folds
from ddb.signals.registry import Found, source
from ddb.signals.table import Signals
from ddb.training.classifier import predict
from ddb.training.loop import Batch, Context, Learner, fit


@source("xrm", own=("layer", "space"), networks=2)
def xrm(train: Split, val: Split, synthetic: None, settings: AmplifierSettings, context: Context) -> Found:
    """Train the twins side by side."""
    half = torch.from_numpy(folds(train.labels, 2, context.seed)).to(context.device)  # (N,) 0 or 1
    labels = torch.from_numpy(train.labels).to(context.device).clone()  # (N,), flipped as training goes on
    seen: list[Tensor] = []  # the second twin's logits of the current batch

    def loss_of_second(batch: Batch) -> Tensor:
        seen[:] = [batch.logits.detach()]
        return class_balanced(batch.logits, labels[batch.index], half[batch.index] == 1)

    second = Learner(train, loss_of_second, settings, replace(context, stream=f"{context.stream} 1"))

    def loss_of_first(batch: Batch) -> Tensor:
        second.learn(batch.images, batch.labels, batch.index, batch.step)
        own, learned = half[batch.index] == 0, labels[batch.index]  # (B,) bool, (B,)
        loss = class_balanced(batch.logits, learned, own)
        held_out = torch.where(own[:, None], seen[0], batch.logits.detach())  # (B, C)
        labels[batch.index] = flipped(learned, held_out, torch_generator("xrm", context.seed, batch.step))
        return loss

    first = fit(train, loss_of_first, settings, replace(context, stream=f"{context.stream} 0", history=[]))
    twins, transform = (first, second.model.eval()), settings.transform(context.workers)
    of_train, of_val = ([predict(twin, split, transform) for twin in twins] for split in (train, val))
    held_out = torch.where((half == 0).cpu()[:, None], of_train[1], of_train[0])  # (N, C)
    mean = sum((logits.log_softmax(1) for logits in of_val), torch.zeros(1)) / 2  # (V, C)
    return Found(Signals.of_logits(held_out.numpy(), train), Signals.of_logits(mean.numpy(), val))


def class_balanced(logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
    """The mean over classes of each one's mean cross-entropy in `rows` (B,) bool; 0 if there are none."""
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none") * rows  # (B,)
    counts = logits.new_zeros(logits.shape[1]).index_add(0, labels, rows.to(logits.dtype))  # (C,)
    return (losses / counts[labels].clamp(min=1)).sum() / (counts > 0).sum().clamp(min=1)


def flipped(labels: Tensor, held_out: Tensor, generator: torch.Generator) -> Tensor:
    """Labels (B,) of which some have become the held-out prediction, whose logits are (B, C)."""
    classes = held_out.shape[1]
    probability, predicted = held_out.softmax(1).max(1)  # (B,), (B,)
    flip = ((probability - 1 / classes) * classes / (classes - 1)).clamp(0, 1)  # (B,)
    drawn = torch.rand(len(flip), generator=generator).to(flip.device)
    return torch.where(drawn < flip, predicted, labels)
