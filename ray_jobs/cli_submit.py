"""`ddb submit`: an experiment or a search as a SLURM job, by one `sbatch` command that a dry run prints.

ddb submit configs/colored_digits.yaml seeds=[0] --nodes 2 --gpus-per-node 4 --time 12:00:00 -- --partition=gpu
"""

import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import platformdirs
import typer

from ddb import config_file
from ddb.artifacts import Store
from ddb.data import DataMissing
from ddb.errors import DDBError
from ddb.experiment import plan
from ddb.record import git_state
from ray_jobs.cli_options import STORE, ConfigArgument, StoreOption
from ray_jobs.cluster import shell_environment
from ray_jobs.job import err, out, show_notes
from slurm import queue, snapshot
from slurm.errors import LaunchError

EXAMPLE = "ddb submit configs/colored_digits.yaml --nodes 4 --gpus-per-node 8 --time 12:00:00 -- --partition=gpu"

Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]... [-- SBATCH OPTION...]", help="Settings to change; after --, any options of sbatch."
    ),
]
Nodes = Annotated[int | None, typer.Option(metavar="N", min=1, help="Nodes.")]
Gpus = Annotated[str | None, typer.Option(metavar="G", help="GPUs of each node: 4, or a100:4.")]
Cpus = Annotated[int | None, typer.Option(metavar="C", min=1, help="CPUs of each node.")]
Time = Annotated[str | None, typer.Option(metavar="T", help="Time limit: 12:00:00; a plain number is minutes.")]


def submit(
    context: typer.Context,
    config: ConfigArgument,
    settings: Settings = None,
    nodes: Nodes = None,
    gpus_per_node: Gpus = None,
    cpus_per_task: Cpus = None,
    time: Time = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the sbatch command, submit nothing.")] = False,
    store: StoreOption = STORE,
) -> None:
    """Queue an experiment or a search as a SLURM job.

    The job starts a private Ray cluster on its nodes, runs `ddb run CONFIG` (or
    `ddb sweep CONFIG`), and requeues itself if its time ends before the work
    does. It runs a copy of the code as it is now, kept in the store.

    Run it from the project's folder, with a store that all nodes share. Options
    that your site always needs stand in ~/.config/ddb/sbatch, one a line
    (DDB_SBATCH names another file). The configuration is checked first.
    """
    settings = settings or []
    first = next((i for i, each in enumerate(settings) if each.startswith("-")), len(settings))
    overrides, options = settings[:first], settings[first:]
    job = [_command(config, overrides), str(config), *overrides]
    named = {"nodes": nodes, "gpus-per-node": gpus_per_node, "cpus-per-task": cpus_per_task, "time": time}
    options = [*_site_options(), *(f"--{name}={value}" for name, value in named.items() if value), *options]
    folder = store.absolute() / "slurm"
    sbatch = ["sbatch", "--parsable", f"--output={folder}/%j.log", *options]
    if dry_run:
        out.print(shlex.join([*sbatch, *_script(None, store), *job]))
        _show_memory(config, overrides, store)
        return
    try:
        Store(store).open_to_write()
        code = snapshot.take(folder / "code", git_state())
        number = queue.submit([*sbatch, *_script(code, store), *job], shell_environment())
        out.print(f"job {number} is queued; its log: {queue.note(store.absolute(), number, job, config)}")
    except (LaunchError, OSError) as error:
        raise DDBError(str(error)) from None
    status = ["ddb", "status", str(config), *overrides]
    if context.get_parameter_source("store").name == "COMMANDLINE":
        status += ["--store", str(store)]
    out.print(f"state: {shlex.join(status)}")
    out.print(f"look in: slurm/attach {number}")


def _script(code: Path | None, store: Path) -> list[str]:
    """The batch script with the settings of its job as arguments, so that they do not depend on what sbatch exports.

    `code` is the copy that the job runs; None for a dry run, which makes no copy.
    """
    values = {"DDB_CODE": code, "DDB_PYTHON": sys.executable, "DDB_STORE": store.absolute()}
    script = (code or snapshot.ROOT) / "slurm" / "ddb.sbatch"
    return [str(script), *(f"{name}={value}" for name, value in values.items() if value)]


def _site_options() -> list[str]:
    """The options of the site's file. Raises DDBError if DDB_SBATCH names a file that cannot be read."""
    named = os.environ.get("DDB_SBATCH")
    path = Path(named) if named else platformdirs.user_config_path("ddb") / "sbatch"
    if not named and not path.exists():
        return []
    try:
        return shlex.split(path.read_text(encoding="utf-8"), comments=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DDBError(f"{'DDB_SBATCH=' if named else ''}{path}: {reason}") from None


def _command(config: Path, overrides: list[str]) -> str:
    """`run` or `sweep`, once the file is known to work. Raises DDBError."""
    if "sweep" in config_file.read_file(config):
        from ddb.sweep import load_sweep

        load_sweep(config, overrides)
        return "sweep"
    graph = plan(config_file.load(config, overrides))
    show_notes(graph)
    for reason in dict.fromkeys(graph.missing_data.values()):
        err.print(f"cannot run yet, as seen from here: {reason}", style="yellow")
    return "run"


def _show_memory(config: Path, overrides: list[str], store: Path) -> None:
    """What the job needs of memory; of a search it is not known before its trials are."""
    if "sweep" in config_file.read_file(config):
        return
    graph = plan(config_file.load(config, overrides))
    missing = [stage for stage in graph.stages() if not (store / stage.name / stage.key).is_dir()]
    if not missing:
        return
    from ddb import memory

    with contextlib.suppress(DataMissing):  # of which nothing is published, so that nothing is known
        for line in memory.needs(graph, missing):
            err.print(f"memory: {line}")
