"""`synthetic`: the paper's Bias Amplifier, trained on synthetic images alone (section 4.2).

It cannot memorise the few real images that break the bias, so these are what it gets wrong.
"""

from __future__ import annotations

from ddb.data import Split
from ddb.signals.amplifier import AmplifierSettings, signals_of_amplifier
from ddb.signals.registry import Found, source
from ddb.training.loop import Context, first_per_class


@source("synthetic", synthetic=True, own=("images_per_class",))
def synthetic(train: Split, val: Split, synthetic: Split, settings: AmplifierSettings, context: Context) -> Found:
    """Train on the first `images_per_class` synthetic images of each class."""
    return signals_of_amplifier(first_per_class(synthetic, settings.images_per_class), train, val, settings, context)
