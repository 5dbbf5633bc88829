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
from ray_jobs.journal import Run, again, runs
from ray_jobs.output import news
from slurm import queue

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
    run, path = _wanted(opened, name)
    while follow and run is None and not path.exists() and queue.is_queued(str(name)):
        time.sleep(EVERY * 10)  # the job has not begun
    news.print(str(path))
    if not path.exists():
        raise DDBError(f"{path}: no such file; the log begins with the job")
    with path.open(encoding="utf-8", errors="replace") as file:
        while True:
            goes_on = follow and _goes_on(run, str(name))  # before what may be its last lines are read
            sys.stdout.write(file.read())
            sys.stdout.flush()
            if not goes_on:
                return
            time.sleep(EVERY)


def _wanted(store: Store, name: str | None) -> tuple[Run | None, Path]:
    """The run and its log, or None and the log of a SLURM job. Raises DDBError where there is no such thing."""
    found = runs(store)
    known = dict.fromkeys(run.noted["name"] for run in found)
    wanted = name if name in known or name is None else Path(name).name.removesuffix(".yaml").removesuffix(".yml")
    if found and wanted in (None, *known):
        run = next(run for run in found if wanted in (None, run.noted["name"]))
        return run, run.log
    if name and name.isdecimal() and (log := queue.log(store.root, name)):
        return None, log
    near = f"; {unknown(name, list(known))}" if name and known else ""
    raise DDBError(f"no log of {name or 'a run'} in the store {store.root}{near}")


def _goes_on(run: Run | None, job: str) -> bool:
    """Whether the run, or the SLURM job, may still write into its log."""
    if run is None:
        return queue.is_queued(job)
    return again(run).state == "running"
