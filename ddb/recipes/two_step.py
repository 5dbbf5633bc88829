"""Recipe I of DDB: pseudo-groups from the frozen Bias Amplifier, then GroupDRO over class x {aligned, conflicting}.

`ddb_two_step` filters the amplifier's error set by its loss; `ddb_two_step_error_set` takes all of it.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from ddb.data import Split
from ddb.lazy import nn, np
from ddb.recipes.group_dro import GroupDROSettings, fit_group_dro
from ddb.recipes.registry import method
from ddb.recipes.safeguard import SafeguardSettings, safeguarded
from ddb.signals.table import Signals, check_signals, error_set, filtered_error_set, pseudo_groups
from ddb.training.loop import Context

Conflicting = Callable[[Signals], "np.ndarray"]  # to (N,) bool


class ErrorSetSettings(GroupDROSettings, SafeguardSettings):
    """Settings of `ddb_two_step_error_set`."""


class TwoStepSettings(ErrorSetSettings):
    """Settings of `ddb_two_step`."""

    gamma: float = Field(default=1.0, ge=0, description="conflicting iff misclassified and loss > mu + gamma * sigma")


@method("ddb_two_step", TwoStepSettings, signals=True)
def two_step(train: Split, signals: Signals, settings: TwoStepSettings, context: Context) -> nn.Module:
    """GroupDRO over the pseudo-groups of the filtered error set."""
    return _recipe(train, signals, lambda signals: filtered_error_set(signals, settings.gamma), settings, context)


@method("ddb_two_step_error_set", ErrorSetSettings, signals=True)
def two_step_error_set(train: Split, signals: Signals, settings: ErrorSetSettings, context: Context) -> nn.Module:
    """GroupDRO over the pseudo-groups of the whole error set."""
    return _recipe(train, signals, error_set, settings, context)


def _recipe(
    train: Split, signals: Signals, conflicting: Conflicting, settings: ErrorSetSettings, context: Context
) -> nn.Module:
    """GroupDRO with `conflicting(signals)` as the pseudo-label; empty: the groups are the classes."""

    def candidate(train: Split, signals: Signals, context: Context) -> nn.Module:
        found = conflicting(signals)
        if not found.any():
            context.history.append({"step": 0, "note": "no image is taken for conflicting: the groups are the classes"})
        return fit_group_dro(train, pseudo_groups(train.labels, found), settings, context)

    check_signals(signals, train)
    return safeguarded(train, signals, settings, context, {context.name: candidate})
