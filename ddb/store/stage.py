"""Stages: what to compute, from which other stages, and the key by which the store knows the result."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

KEY_LENGTH = 16  # hexadecimal digits, 64 bits: a collision needs billions of results
ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical_json(value: Any) -> str:
    """One text for each value: sorted keys, no spaces. Raises ValueError for NaN. Used for every hash."""
    return ENCODER.encode(value)


@dataclass(frozen=True)
class Stage:
    """One node of the stage graph."""

    name: str  # its kind and its folder in the store: data, cdpm, synthetic, ...
    config: dict[str, Any]  # all and only the settings that it reads
    code: dict[str, int]  # versions of the code that computes it, by name
    inputs: dict[str, "Stage"] = field(default_factory=dict)  # role -> stage
    location: str | None = None  # of files outside the store; their content is in `config`
    hashed: dict[str, Any] | None = None  # what the key contains of `config`; None: all

    @cached_property
    def key(self) -> str:
        """Hash of everything that changes the result, KEY_LENGTH digits."""
        inputs = {role: stage.key for role, stage in self.inputs.items()}
        config = self.config if self.hashed is None else self.hashed
        content = {"stage": self.name, "config": config, "code": self.code, "inputs": inputs}
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:KEY_LENGTH]

    def ancestors(self) -> list["Stage"]:
        """Every stage that this one needs, inputs before the stages that need them; this one last."""
        return list(in_order([self]).values())


def in_order(roots: Iterable[Stage]) -> dict[str, Stage]:
    """`roots` and every stage that they need, by key, inputs before the stages that need them."""
    found: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        if stage.key not in found:
            for needed in stage.inputs.values():
                visit(needed)
            found[stage.key] = stage

    for root in roots:
        visit(root)
    return found
