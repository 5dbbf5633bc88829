"""`gce`: the biased network of Learning from Failure (Nam et al., NeurIPS 2020), without its partner.

Trained on the real images with the generalised cross-entropy, which learns what is easy and gives up on the rest.
"""

from __future__ import annotations

from ddb.data import Split
from ddb.lazy import Tensor, torch
from ddb.signals.amplifier import AmplifierSettings, compute_signals
from ddb.signals.registry import Found, source
from ddb.training.loop import Context, fit


@source("gce", own=("layer", "q", "space"))
def gce(train: Split, val: Split, synthetic: None, settings: AmplifierSettings, context: Context) -> Found:
    """Train with GCE(p, y) = (1 - p_y^q) / q."""
    loss = lambda batch: generalised_cross_entropy(batch.cross_entropy, settings.q).mean()  # noqa: E731
    model = fit(train, loss, settings, context)
    transform = settings.transform(context.workers)
    return Found(compute_signals(model, train, transform), compute_signals(model, val, transform), model)


def generalised_cross_entropy(cross_entropy: Tensor, q: float) -> Tensor:
    """GCE = (1 - p^q) / q, (B,), from CE = -log p, (B,)."""
    return -torch.expm1(-q * cross_entropy) / q
