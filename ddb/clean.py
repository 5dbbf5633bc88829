"""`ddb clean CONFIG...`: find and remove the results that no named configuration needs.

    spare = unneeded(store, needed(store, [Path("configs/colored_digits.yaml")]))
    remove(store, spare)

An experiment needs the stages of its graph and of its audit; a search those of its default and of every trial so far.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

from ddb.errors import DDBError
from ddb.experiment.config_file import load, read_file
from ddb.experiment.graph import Graph, build_graph
from ddb.store import KEY_LENGTH, Store, claim
from ddb.store.claim import Claim


def needed(store: Store, configs: list[Path]) -> set[str]:
    """KIND/KEY of every stage that the configuration files need. Raises DDBError if one has a mistake."""
    found = set()
    for config in configs:
        for graph in (_of_search if "sweep" in read_file(config) else _of_experiment)(store, config):
            if graph.missing_data:  # keys depend on the content of the files
                raise DDBError(f"{config}: {next(iter(graph.missing_data.values()))}")
            found |= {f"{stage.name}/{stage.key}" for stage in graph.stages()}
    return found


def _of_experiment(store: Store, config: Path) -> list[Graph]:
    """Its graph and, if it has what an audit compares, that of its audit, which adds a control."""
    from ddb.audit.audit import BASELINE, RECIPE, audit_graph

    graphs = [build_graph(load(config))]
    if {BASELINE, RECIPE} <= graphs[0].config.methods.keys():
        with contextlib.suppress(DDBError):
            graphs.append(audit_graph(graphs[0].config))
    return graphs


def _of_search(store: Store, config: Path) -> list[Graph]:
    """Plans of a search's default and of all its trials, at every rung."""
    from ddb.experiment.sweep import load_sweep, trials_of

    sweep = load_sweep(config)
    trials = trials_of(store.root / "sweeps" / sweep.key)
    points = [sweep.default, *(trial["point"] for trial in trials if trial["point"])]
    return [build_graph(sweep.experiment(point, rung)) for point in points for rung in sweep.settings.rungs or (1,)]


def unneeded(store: Store, names: set[str]) -> list[Path]:
    """Folders of the finished results that are not among `names`."""
    results = sorted(record.parent for record in store.root.glob("[a-z]*/*/record.json"))
    return [path for path in results if len(path.name) == KEY_LENGTH and f"{path.parent.name}/{path.name}" not in names]


def size(result: Path) -> int:
    """Bytes of all files of a result."""
    return sum(file.stat().st_size for file in result.rglob("*") if file.is_file())


def remove(store: Store, results: list[Path]) -> None:
    """Remove results. Raises DDBError if any stage is being computed in the store: that run may need one of them.

    A holder of a claim that this machine cannot judge is alive if it touches its workspace while this waits.
    """
    store.open_to_write()
    workspaces = [path for path in sorted(store.root.glob(".work/*/*.*")) if not path.name.startswith(".")]
    held = [each for path in workspaces if (each := Claim(path.with_suffix(""))).is_held()]
    before = [each.touched() for each in held]
    if held:
        time.sleep(3 * claim.HEARTBEAT)
    for each, touched in zip(held, before, strict=True):
        if each.touched() != touched:
            raise DDBError(f"clean: {each.path.parent.name} {each.path.name} is being computed ({each.owner()}); "
                           "try again later")  # fmt: skip
    for result in results:
        discard(store, result)


def discard(store: Store, result: Path) -> None:
    """Remove a result that nobody needs."""
    removed = store.root / ".work" / f"removed-{result.name}-{os.getpid()}"
    os.rename(result, removed)  # atomically: no reader sees a part of a result
    shutil.rmtree(removed)
