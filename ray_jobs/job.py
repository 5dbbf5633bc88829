"""Run an experiment, or one kind of its stages with what they need: shared by `ddb` and by jobs submitted to a cluster.

ray job submit --working-dir . -- python -m ray_jobs.train_cdpm configs/colored_digits.yaml
"""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console

from ddb.errors import DDBError, Interrupted, headline
from ddb.experiment import config_file
from ddb.experiment.event import Event
from ddb.experiment.graph import Graph, build_graph
from ddb.experiment.time_left import probed
from ddb.features.encoders import build_encoder
from ddb.progress import duration
from ddb.store import Stage, Store
from ddb.store.record import device_name
from ddb.training.networks import ensure_weights
from ray_jobs.cluster import check_address, connected
from ray_jobs.console import StageView, kinds_text
from ray_jobs.exit_codes import exit_codes, interruptible
from ray_jobs.journal import Journal, identity
from ray_jobs.output import err, news


def execute(graph: Graph, store: Store, name: str, only: str | None = None, local: bool = False) -> int:
    """Compute what is missing, on Ray or in this process; number of stages that failed or whose data set is not here.

    `name` is what the run's log is called. `only` limits the work to the stages of that name and their inputs. Raises
    DDBError where nothing can be computed, and Interrupted where the run was asked to end before everything was.
    """
    stages, began = graph.stages(only), time.monotonic()
    missing = [stage for stage in stages if not store.has(stage)]
    show_notes(graph)
    if not missing:
        news.print(f"nothing to compute: all {len(stages)} stages are in the store {store.root}")
        return 0
    store.open_to_write()
    blocked = make_ready(graph, missing)
    if not local:
        check_address()
    with Journal(store, name, identity(graph.stages())) as journal:
        there = f"{len(stages) - len(missing)} in the store {store.root}"
        journal.tell(f"{name}: {len(stages)} stages, {there}; to compute: {kinds_text(missing)}")
        journal.tell(f"log: {journal.log}; stop with Ctrl-C, rerun the command to resume")
        able = [stage for stage in missing if stage.key not in blocked]
        failed = blocked | (_in_this_process if local else _on_ray)(graph, able, store, journal, only)
        journal.note(failed=len(failed))
        number = f"{len(missing) - len(failed)} stages computed{f', {len(failed)} not' if failed else ''}"
        journal.tell(f"{'ended' if failed else 'finished'} after {duration(time.monotonic() - began)}: {number}")
    return len(failed)


def _in_this_process(graph: Graph, able: list[Stage], store: Store, journal: Journal, only: str | None) -> set[str]:
    """Computes all stages, or raises DDBError."""
    import torch

    from ddb.experiment.local import compute

    device = "cuda" if torch.cuda.is_available() else "cpu"
    journal.tell(f"on {device_name()}, in this process")
    seconds = probed(graph, able, None, device)
    with StageView(graph, len(graph.stages(only)), journal, lambda: seconds) as view:
        for stage in graph.stages(only):
            if store.has(stage):
                view.notify(Event("cached", stage))
        compute(able, store, graph.config.resources, view.notify)
    return set()


def _on_ray(graph: Graph, able: list[Stage], store: Store, journal: Journal, only: str | None) -> set[str]:
    """Keys of the stages that failed, each with a line. Raises Interrupted if stages are left."""
    from ray_jobs.runner import probe_on_ray, run_graph

    total = len(graph.stages(only))
    with interruptible(), connected() as capacity:
        nodes = f"{len(capacity.nodes)} nodes with " * (len(capacity.nodes) > 1)
        journal.tell(f"on {nodes}{capacity.cpus} CPUs and {capacity.gpus or 'no'} GPU{'s' * (capacity.gpus > 1)}")
        with StageView(graph, total, journal, probe_on_ray(graph, able, capacity)) as view:
            outcome = run_graph(graph, store, capacity, view.notify, only)
    for stage, error in (each for key, each in outcome.failed.items() if key not in outcome.blocked):
        kept = "\n" in error and store.failure_path(stage).exists()  # on a full disk nothing can be kept
        whole = f" (whole text: {store.failure_path(stage)})" if kept else ""
        err.print(f"failed: {view.titles[stage.key]}: {headline(error)}{whole}")
    if outcome.blocked:
        err.print(f"not computed, since they need what failed: {len(outcome.blocked)} stages")
    if outcome.interrupted:
        left = f"{len(outcome.interrupted)} of {total} stages are left"
        raise Interrupted(f"{outcome.reason}: {left}; the same command goes on")
    return set(outcome.failed)


def show_notes(graph: Graph) -> None:
    """Tell what the experiment leaves out, and how its files were read, beside the output and not in it."""
    for note in (*graph.experiment.notes, *dict.fromkeys(graph.reading)):
        err.print(note, style="yellow")


def show_memory(graph: Graph, missing: list[Stage], console: Console) -> None:
    """Print the memory needs of the missing stages."""
    from ddb.experiment import memory

    for line in memory.needs(graph, missing):
        console.print(f"memory: {line}")


def make_ready(graph: Graph, missing: list[Stage]) -> set[str]:
    """Check that data sets, pretrained weights and layers exist; keys of the `missing` stages that lack their data set.

    Raises DDBError if all stages lack it, or if weights or a layer do not exist.
    """
    blocked = {stage.key: reason for stage in missing if (reason := graph.lacks_data(stage))}
    if missing and len(blocked) == len(missing):
        raise DDBError(next(iter(blocked.values())))
    for stage in missing:
        if stage.name == "features" and not graph.lacks_data(stage.inputs["data"]):
            if stage.key in blocked:
                raise DDBError(blocked[stage.key])
            settings = stage.config["features"]
            known = build_encoder(settings["encoder"], None, settings["layers"]).layers
            for layer in {cell.row.amplifier.layer for cell in graph.cells} - {None, *known}:
                raise DDBError(f"amplifier.layer: {layer!r} is not among features.layers: {', '.join(known)}")
    for reason in dict.fromkeys(blocked.values()):
        err.print(f"left out: {reason}", style="yellow")
    needed = {stage.key for stage in missing} - blocked.keys()
    for cell in graph.cells:
        # An amplifier is a stage of its own, or trains within the cell (the joint recipe), or there is none.
        trained = cell.classifier
        amplifier = trained if "amplifier" in trained.config else trained.inputs.get("amplifier")
        for stage, settings in ((trained, cell.row.settings), (amplifier, cell.row.amplifier)):
            if stage is not None and stage.key in needed:
                ensure_weights(settings.network, settings.pretrained)
                compiler = os.environ.get("CXX", "g++")
                if settings.compile and not shutil.which(compiler):
                    raise DDBError(f"compile: torch.compile needs a C++ compiler, and there is no {compiler} here")
    return set(blocked)


def parse(description: str | None) -> argparse.Namespace:
    """The command line of a job module: CONFIG [KEY=VALUE ...] [--store DIR]."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML file, as in configs/")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings to change")
    parser.add_argument("--store", default=os.environ.get("DDB_STORE", "runs"), help="where results are kept")
    return parser.parse_intermixed_args()  # settings may also come after --store


def main(only: str | None, description: str | None) -> None:
    """Run a job module: the stages named `only` and what they need, or all."""
    arguments = parse(description)
    with exit_codes():
        graph = build_graph(config_file.load(arguments.config, arguments.overrides))
        failed = execute(graph, Store(arguments.store), arguments.config.stem, only)
    sys.exit(1 if failed else 0)
