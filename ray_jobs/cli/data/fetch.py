"""`ddb data fetch`: a data set from where it is public."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import DownloadColumn, Progress

from ddb.data import BENCHMARKS, FilesConfig
from ddb.data.files import data_home
from ddb.errors import DDBError
from ray_jobs.cli.data.arguments import dataset_config
from ray_jobs.output import err, out

EXAMPLE = "ddb data fetch waterbirds"

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name that ddb data list shows.")]
Root = Annotated[Path | None, typer.Option(help="Folder to fill; default: its place below DDB_DATA or data/.")]


def data_fetch(name: NameArgument, root: Root = None) -> None:
    """Download a data set where it is public, and verify it; else say how to place it by hand."""
    from ddb.data.check import verify_counts
    from ddb.data.fetch import fetch

    if name in BENCHMARKS and not BENCHMARKS[name].places:
        raise DDBError(f"{name}: nothing to fetch; it is built in, or your own data")
    config = dataset_config(name, [])
    assert isinstance(config, FilesConfig)  # what has a place has files
    target = root or data_home() / BENCHMARKS[name].places[0]
    with Progress(*Progress.get_default_columns(), DownloadColumn(), console=err, disable=not err.is_terminal) as bar:
        task = bar.add_task(f"fetching {name}", total=None)
        verify = lambda folder: verify_counts(config.model_copy(update={"root": folder}))  # noqa: E731
        where = fetch(name, target, verify, lambda done: bar.update(task, completed=done))
    out.print(f"{name}: verified, in {where}")
