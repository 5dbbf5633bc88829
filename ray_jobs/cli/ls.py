"""`ddb ls`: what has been run in a store."""

import time

from rich.table import Table
from rich.text import Text

from ddb.progress import duration
from ddb.store import Store
from ray_jobs.cli.arguments import STORE, StoreOption
from ray_jobs.journal import Run, runs
from ray_jobs.output import out, show
from slurm import queue

EXAMPLE = "ddb ls"
COLORS = {"finished": "green", "running": "cyan", "failed": "red", "interrupted": "yellow", "killed": "yellow"}


def ls(store: StoreOption = STORE) -> None:
    """Print the experiments of a store with the state of their runs, the newest first."""
    opened = Store(store)
    newest: dict[str, Run] = {}
    for run in runs(opened):
        newest.setdefault(run.noted["identity"], run)
    view = Table("experiment", "state", "done", "last seen", "time left", "command")
    for run in newest.values():
        noted, state = run.noted, run.state
        stages = f"{noted['done']}/{noted['total']} {noted.get('unit', 'stages')}" if "total" in noted else ""
        left = duration(noted["seconds_left"]) if state == "running" and noted.get("seconds_left") else ""
        seen = f"{duration(max(0, time.time() - run.heard))} ago"
        view.add_row(noted["name"], Text(state, COLORS[state]), stages, seen, left, noted["command"])
    if newest:
        show(view)
    else:
        out.print(f"no run is recorded in the store {opened.root}")
    for line in queue.states(opened.root):
        out.print(line)
