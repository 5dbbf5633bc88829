"""How far an experiment is, from the store alone, so that any machine that sees the store can ask.

for each in look(graph, store): each.stage, each.state, each.report
counts(found)                                   # {"cdpm": {"done": 1, "running": 0, ...}, ...}
"""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddb import progress
from ddb.experiment.graph import Graph
from ddb.stages import KINDS
from ddb.store import Stage, Store

STATES = ("done", "running", "failed", "interrupted", "blocked", "to do")  # blocked: needs a stage that failed
SILENCE = 120.0  # seconds without a sign of life after which a stage of another machine does not count as running


@dataclass(frozen=True)
class StageStatus:
    """One stage: its state, of STATES, and what is known of one that was begun."""

    stage: Stage
    state: str
    report: dict[str, Any] | None = None  # its last progress (`ddb.progress`)
    owner: str = ""  # who computes it
    error: str = ""


def look(graph: Graph, store: Store, only: str | None = None, since: float = 0.0) -> list[StageStatus]:
    """Every stage, inputs before what needs them; with `only`, those of that kind and their inputs.

    Failures from before the time `since`, at which a run began that will try again, do not count.
    """
    stages = graph.stages(only)
    finished = store.finished(stages)
    listed = {name: (_keys(store.root / ".work" / name), _keys(store.root / ".failures" / name))
              for name in {stage.name for stage in stages}}  # fmt: skip
    found: dict[str, StageStatus] = {}
    for stage in stages:
        begun, failed = (stage.key in keys for keys in listed[stage.name])
        if stage.key in finished:
            found[stage.key] = StageStatus(stage, "done")
        elif begun and (running := _running(stage, store)):
            found[stage.key] = running
        elif failed and (store.failure_time(stage) or 0) / 1e9 >= since:
            found[stage.key] = StageStatus(stage, "failed", error=store.failure(stage) or "")
        elif any(found[each.key].state in ("failed", "blocked") for each in stage.inputs.values()):
            found[stage.key] = StageStatus(stage, "blocked")
        else:
            found[stage.key] = StageStatus(stage, "interrupted" if begun else "to do", _report(stage, store, begun))
    return list(found.values())


def counts(found: Iterable[StageStatus]) -> dict[str, Counter[str]]:
    """By kind, in the order of the pipeline: how many stages are in which state."""
    numbers: dict[str, Counter[str]] = {name: Counter(dict.fromkeys(STATES, 0)) for name in KINDS}
    for each in found:
        numbers[each.stage.name][each.state] += 1
    return {name: each for name, each in numbers.items() if each.total()}


def _keys(folder: Path) -> set[str]:
    """Keys of what a folder of workspaces or failures holds."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return {name.partition(".")[0] for name in os.listdir(folder)}
    return set()


def _running(stage: Stage, store: Store) -> StageStatus | None:
    claim = store.claim(stage)
    if not claim.is_held() or time.time() - max(claim.touched(), default=0) / 1e9 > SILENCE:
        return None
    return StageStatus(stage, "running", _report(stage, store), claim.owner())


def _report(stage: Stage, store: Store, begun: bool = True) -> dict[str, Any] | None:
    return progress.read(store.work_path(stage)) if begun else None
