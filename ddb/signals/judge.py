"""A source of signals on a whole data set: every split, and every layer if it works on features.

found = judge([dataset], images, AmplifierSettings(source="lda"), run)
found.train, found.val, found.test
"""

from __future__ import annotations

from dataclasses import replace

from ddb.data import BiasedDataset, Split
from ddb.lazy import np
from ddb.signals import SOURCES
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.calibration import mean_over_layers
from ddb.signals.registry import Found
from ddb.training.loop import Context


def judge(layers: list[BiasedDataset], synthetic: Split | None, settings: AmplifierSettings, context: Context) -> Found:
    """Ask the source; `layers` has the data set with the features of each layer, or once with its images.

    The model and the memorisation curve are those of the first layer.
    """
    parts = [_every_split(dataset, synthetic, settings, context) for dataset in layers]
    of_train = [part.train for part in parts]
    val, test = (
        mean_over_layers(of_train, known) if (known := [each for each in split if each]) else None
        for split in ([part.val for part in parts], [part.test for part in parts])
    )
    return Found(mean_over_layers(of_train, of_train), val, parts[0].model, parts[0].curve, test)


def _every_split(
    dataset: BiasedDataset, synthetic: Split | None, settings: AmplifierSettings, context: Context
) -> Found:
    """Sources judge one split beside the training images: validation and test images together, taken apart again."""
    train, val, test = (dataset[name] for name in ("train", "val", "test"))
    function = SOURCES[settings.source].function
    if settings.source == "file":  # its rows may have the paths of the validation images alone
        return function(train, val, synthetic, settings, context)
    found = function(train, _both(val, test), synthetic, settings, context)
    if found.val is None:
        return found
    rows = np.arange(len(val) + len(test))
    return replace(found, val=found.val.take(rows[: len(val)]), test=found.val.take(rows[len(val) :]))


def _both(first: Split, second: Split) -> Split:
    """The images of two splits, without what is known of their bias."""
    images, labels = (np.concatenate([getattr(first, name), getattr(second, name)]) for name in ("images", "labels"))
    return Split(images, labels, first.paths + second.paths, root=first.root)
