"""The methods by name, and what each needs besides the training images.

@method("mine", MySettings, signals=True)
def mine(train, signals, settings, run):
    return fit(train, my_loss, settings, run)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ddb.errors import DDBError
from ddb.lazy import nn
from ddb.settings import unknown
from ddb.training.loop import TrainingSettings


@dataclass(frozen=True)
class Method:
    """A method or baseline: `function(train: Split, signals: Signals | None, settings, run)` -> classifier."""

    name: str
    settings_class: type[TrainingSettings]
    function: Callable[..., nn.Module]
    needs_signals: bool  # the frozen amplifier's signals on the training images
    needs_groups: bool  # true bias labels of the training images: an oracle
    version: int  # of its code: increase it if the same settings would give other numbers
    needs_synthetic: bool  # context.synthetic and context.amplifier_settings, to train an amplifier of its own


METHODS: dict[str, Method] = {}


def method(
    name: str,
    settings_class: type[TrainingSettings],
    signals: bool = False,
    groups: bool = False,
    synthetic: bool = False,
    version: int = 1,
) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Register the decorated function as `name`."""

    def register(function: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        if name in METHODS:
            raise ValueError(f"two methods are named {name!r}")
        METHODS[name] = Method(name, settings_class, function, signals, groups, version, synthetic)
        return function

    return register


def get_method(name: str) -> Method:
    """The method of that name. Raises DDBError, with the nearest known name, where there is none."""
    if name not in METHODS:
        raise DDBError(f"method: {name!r} is unknown; {unknown(name, list(METHODS))}")
    return METHODS[name]
