"""`ddb logs`: what a run has said."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from ddb.errors import DDBError
from ddb.settings import unknown
from ddb.store import Store
from ray_jobs.cli.arguments import STORE, StoreOption
from ray_jobs.journal import Run, runs
from ray_jobs.output import news
from slurm import queue
from slurm.log import LaunchError

EXAMPLE = "ddb logs colored_digits --follow"
EVERY = 0.5  # seconds between two looks of --follow

Name = Annotated[
    str | None,
    typer.Argument(metavar="NAME|CONFIG|JOB", help="Experiment or configuration, or SLURM job; default: the last run."),
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Print what is added, until the run ends.")]


def logs(name: Name = None, follow: Follow = False, store: StoreOption = STORE) -> None:
    """The log of the newest run, or of the newest of an experiment."""
    opened = Store(store)
    run = None if name and name.isdecimal() else _newest(opened, Path(name).stem if name else None)
    try:
        path = run.log if run else queue.log(opened.root, str(name))
    except LaunchError as error:
        raise DDBError(str(error)) from None
    news.print(str(path))
    with path.open(encoding="utf-8", errors="replace") as file:
        while True:
            goes_on = follow and _goes_on(opened, run, str(name))  # before what may be its last lines are read
            sys.stdout.write(file.read())
            sys.stdout.flush()
            if not goes_on:
                return
            time.sleep(EVERY)


def _newest(store: Store, name: str | None) -> Run:
    found = runs(store)
    known = dict.fromkeys(run.noted["name"] for run in found)
    if not found or name not in (None, *known):
        near = f"; {unknown(name, list(known))}" if name and known else ""
        raise DDBError(f"no log of {name or 'a run'} in the store {store.root}{near}")
    return next(run for run in found if name in (None, run.noted["name"]))


def _goes_on(store: Store, run: Run | None, job: str) -> bool:
    """Whether the run, or the SLURM job, may still write into its log."""
    if run is None:
        return queue.is_queued(job)
    return any(each.file == run.file and each.state == "running" for each in runs(store))
