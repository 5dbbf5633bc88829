"""`ddb sweep`: a search over settings."""

import shlex
from typing import Annotated

import typer

from ddb import yaml_text
from ddb.experiment.graph import build_graph
from ddb.store import Store
from ray_jobs.cli.arguments import STORE, ConfigArgument, Overrides, StoreOption
from ray_jobs.cli.run import show_graph
from ray_jobs.output import news, out, show

EXAMPLE = "ddb sweep configs/sweeps/colored_digits.yaml sweep.trials=40"

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show space and default, compute nothing.")]


def sweep(
    config: ConfigArgument, overrides: Overrides = None, dry_run: DryRun = False, store: StoreOption = STORE
) -> None:
    """Search over settings with Ray Tune and Optuna; the same command goes on where a killed one stopped."""
    from ddb.experiment.sweep import load_sweep

    search = load_sweep(config, overrides)
    if dry_run:
        settings = search.settings.model_dump(mode="json", exclude_none=True)
        out.print(yaml_text.write({"sweep": settings, "default": search.default}))
        out.print("the default configuration; of the other trials, what their settings change is computed as well:")
        show_graph(build_graph(search.experiment(search.default)), Store(store))
        return
    from ddb.report.search import search_tables
    from ray_jobs.sweep import run_sweep

    result = run_sweep(search, Store(store))
    for table in search_tables(search, result.folder):
        show(table)
    news.print(f"next: ddb run {shlex.quote(str(result.folder / 'best.yaml'))}")
    for name in ("best.yaml", "sweep.json", "journal.log"):
        out.print(str(result.folder / name))
