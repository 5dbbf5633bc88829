"""The sources of signals by name: each says of every real image whether a biased model errs on it, and by how much.

@source("mine")
def mine(train, val, synthetic, settings, run):
    return Found(signals_of(train), signals_of(val))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ddb.settings import Part, Settings
from ddb.signals.table import Signals

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Found:
    """What a source knows."""

    train: Signals
    val: Signals | None  # None if it knows nothing of the validation images
    model: nn.Module | None = None  # the trained amplifier, if there is one
    curve: list[dict[str, Any]] | None = None  # of memorisation, as `train_amplifier` returns it


@dataclass(frozen=True)
class Source:
    """`function(train: Split, val: Split, synthetic: Split | None, settings: AmplifierSettings, run: Run)` -> Found."""

    function: Callable[..., Found]
    needs_synthetic: bool
    uses: tuple[str, ...] | None  # the settings that it reads; None: it trains, with all of them and the seed
    version: int  # of its code: increase it if the same settings would give other signals

    @property
    def trains(self) -> bool:
        """Whether it trains a network."""
        return self.uses is None

    def config(self, settings: Settings, seed: int) -> dict[str, Any]:
        """What the key and the record of its signals contain."""
        if self.uses is None:
            return {"amplifier": settings, "seed": seed}
        return {"amplifier": Part(settings, ("source", *self.uses))}


SOURCES: dict[str, Source] = {}


def source(
    name: str, synthetic: bool = False, uses: tuple[str, ...] | None = None, version: int = 1
) -> Callable[[Callable[..., Found]], Callable[..., Found]]:
    """Register the decorated function as the source `name`."""

    def register(function: Callable[..., Found]) -> Callable[..., Found]:
        if name in SOURCES:
            raise ValueError(f"two sources are named {name!r}")
        SOURCES[name] = Source(function, synthetic, uses, version)
        return function

    return register
