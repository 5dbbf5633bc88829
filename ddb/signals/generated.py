"""`generated`: the paper's amplifier on images of any generator, from a folder per class.

    amplifier: {source: generated, generated: my_samples}

The folders have the names or the numbers of the classes, and images in any size. They replace the samples of the CDPM,
which is not trained then; everything else is as for `synthetic`.
"""

from __future__ import annotations

from pathlib import Path

from ddb.data import Split
from ddb.data.generated import read
from ddb.signals.amplifier import AmplifierSettings, signals_of_amplifier
from ddb.signals.registry import Found, source
from ddb.training.loop import Context, first_per_class


@source("generated", own=("generated", "images_per_class"))
def generated(train: Split, val: Split, synthetic: None, settings: AmplifierSettings, context: Context) -> Found:
    """Train on the first `images_per_class` images of each class. Raises DDBError if the folder does not fit."""
    assert settings.generated is not None  # AmplifierSettings checks it
    seen = read(Path(settings.generated), context.classes, train.array.shape[1])
    return signals_of_amplifier(first_per_class(seen, settings.images_per_class), train, val, settings, context)
