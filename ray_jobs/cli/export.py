"""`ddb export`: a folder to publish."""

from pathlib import Path
from typing import Annotated

import typer

from ddb.experiment import config_file
from ddb.experiment.graph import build_graph
from ddb.store import Store
from ray_jobs.cli.arguments import STORE, ConfigArgument, Overrides, StoreOption
from ray_jobs.output import out

EXAMPLE = "ddb export configs/colored_digits.yaml results/colored_digits"

Directory = Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Where the files go.")]


def export(
    config: ConfigArgument, directory: Directory, overrides: Overrides = None, store: StoreOption = STORE
) -> None:
    """Tables in every format, the figure and the records behind them, as a folder to publish."""
    from ddb.report.export import export as write

    for path in write(build_graph(config_file.load(config, overrides)), Store(store), directory):
        out.print(str(path))
