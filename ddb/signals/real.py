"""`real`: the amplifier trained on the real images themselves, the ablation that shows what it memorises."""

from __future__ import annotations

from ddb.data import Split
from ddb.signals.amplifier import AmplifierSettings, signals_of_amplifier
from ddb.signals.registry import Found, source
from ddb.training.loop import Context


@source("real", own=("layer", "space"))
def real(train: Split, val: Split, synthetic: None, settings: AmplifierSettings, context: Context) -> Found:
    """Train on the training images."""
    return signals_of_amplifier(train, train, val, settings, context)
