"""Run an experiment, or one kind of its stages with what they need: shared by `ddb` and by jobs submitted to a cluster.

ray job submit --working-dir . -- python -m ray_jobs.train_cdpm configs/colored_digits.yaml
"""

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console

from ray_jobs.cluster import connected, set_environment

set_environment()  # before anything imports torch or ray

from ddb import config as configuration  # noqa: E402
from ddb.artifacts import Store  # noqa: E402
from ddb.backbones import ensure_weights  # noqa: E402
from ddb.errors import DDBError  # noqa: E402
from ddb.experiment import Plan, plan  # noqa: E402

WIDTH = None if sys.stdout.isatty() else 140  # a log file has no edge to wrap at
out, err = Console(soft_wrap=True, width=WIDTH), Console(stderr=True, soft_wrap=True)


def execute(graph: Plan, store: Store, only: str | None = None) -> int:
    """Compute what is missing on Ray; number of failed stages. No Ray is started where nothing is missing.

    `only` limits the work to the stages of that name and their inputs.
    """
    stages = graph.stages(only)
    missing = [stage for stage in stages if not store.has(stage)]
    out.print(f"{len(stages)} stages, {len(stages) - len(missing)} in the store {store.root}", highlight=False)
    if not missing:
        return 0
    if graph.missing_data:
        raise DDBError(graph.missing_data)
    for row in configuration.methods(graph.config):
        for settings in (row.settings, row.amplifier):
            ensure_weights(settings.network, settings.weights)
    from ray_jobs.console import StageView
    from ray_jobs.run_experiment import run_plan

    with connected() as capacity, StageView(out, store, len(stages)) as view:
        outcome = run_plan(graph, store, capacity, view.notify, only)
    for stage, error in outcome.failed.values():
        err.print(f"{stage.name} {stage.key} failed: {error}", markup=False, highlight=False)
    return len(outcome.failed)


def main(only: str | None, description: str) -> None:
    """Command line of a job module: CONFIG [KEY=VALUE ...] [--store DIR]."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML file, as in configs/")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings to change")
    parser.add_argument("--store", default=os.environ.get("DDB_STORE", "runs"), help="where results are kept")
    arguments = parser.parse_args()
    try:
        graph = plan(configuration.load(arguments.config, arguments.overrides))
        failed = execute(graph, Store(arguments.store), only)
    except DDBError as error:
        err.print(str(error), style="red", markup=False, highlight=False)
        sys.exit(2)
    sys.exit(1 if failed else 0)
