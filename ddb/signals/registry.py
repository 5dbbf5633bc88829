"""The sources of signals by name: each says of every real image whether a biased model errs on it, and by how much.

@source("mine")
def mine(train, val, synthetic, settings, run):
    return Found(signals_of(train), signals_of(val))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ddb.lazy import nn
from ddb.settings import Part, Settings
from ddb.signals.table import Signals


@dataclass(frozen=True)
class Found:
    """What a source knows."""

    train: Signals
    val: Signals | None  # None if it knows nothing of the validation images
    model: nn.Module | None = None  # the trained amplifier, if there is one
    curve: list[dict[str, Any]] | None = None  # of memorisation, as `train_amplifier` returns it
    test: Signals | None = None


@dataclass(frozen=True)
class Source:
    """`function(train, val, synthetic, settings, context)` -> Found; `synthetic` is None if it needs none."""

    function: Callable[..., Found]
    needs_synthetic: bool
    trains: bool  # a network, with the settings of a training and the seed
    own: tuple[str, ...]  # settings that only some sources read, and this one does
    networks: int  # trained side by side, for estimates of its cost
    version: int  # of its code: increase it if the same settings would give other signals

    def settings(self, settings: Settings) -> Part:
        """The part of `AmplifierSettings` that it reads: what its key and its record contain."""
        foreign = {name for other in SOURCES.values() for name in other.own} - {*self.own}
        training = [name for name in type(settings).model_fields if name not in foreign]
        return Part(settings, tuple(training) if self.trains else ("source", *self.own))


SOURCES: dict[str, Source] = {}


def source(
    name: str,
    synthetic: bool = False,
    trains: bool = True,
    own: tuple[str, ...] = (),
    networks: int = 1,
    version: int = 1,
) -> Callable[[Callable[..., Found]], Callable[..., Found]]:
    """Register the decorated function as the source `name`."""

    def register(function: Callable[..., Found]) -> Callable[..., Found]:
        if name in SOURCES:
            raise ValueError(f"two sources are named {name!r}")
        SOURCES[name] = Source(function, synthetic, trains, own, networks, version)
        return function

    return register
