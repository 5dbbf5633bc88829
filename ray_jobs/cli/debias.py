"""`ddb debias`: a classifier without the shortcut, for a folder of images."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ddb.store import Store
from ray_jobs.cli.arguments import STORE, DirectoryOrConfig, StoreOption, experiment_of
from ray_jobs.output import out

EXAMPLE = "ddb debias my_images --review verdicts.csv"

Review = Annotated[Path | None, typer.Option(help="CSV with file_name, verdict (keep, relabel, drop) and new_label.")]
Output = Annotated[Path | None, typer.Option(help="Folder for the files; default: one below debias in the store.")]


def debias(
    arguments: DirectoryOrConfig = None, review: Review = None, output: Output = None, store: StoreOption = STORE
) -> None:
    """Train a classifier without the shortcut on a folder of images, in the feature space of a frozen encoder."""
    from ray_jobs.debias import run_debias

    settings = [] if review is None else [f"dataset.review={json.dumps(str(review))}"]
    experiment, name = experiment_of([*(arguments or []), *settings], None, store, "features")
    lines, paths = run_debias(experiment.config, Store(store), output or store / "debias" / name)
    for line in [*lines, *map(str, paths)]:
        out.print(line)
