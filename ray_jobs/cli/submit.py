"""`ddb submit`: an experiment or a search as a SLURM job, by one `sbatch` command that a dry run prints."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import platformdirs
import typer

from ddb.errors import DDBError
from ddb.experiment import config_file
from ddb.experiment.graph import Graph, build_graph
from ddb.store import Store
from ddb.store.record import git_state
from ray_jobs.cli.arguments import STORE, StoreOption, experiment_of
from ray_jobs.cli.completion import complete_config, complete_override
from ray_jobs.cluster import shell_environment
from ray_jobs.job import show_memory, show_notes
from ray_jobs.output import err, out
from slurm import queue, snapshot
from slurm.log import LaunchError

EXAMPLE = "ddb submit configs/colored_digits.yaml --nodes 4 --gpus-per-node 8 --time 12:00:00 -- --partition=gpu"

ON_FOLDERS = ("audit", "debias")  # commands that take a folder of images

ConfigOrCommand = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG|audit DIR|debias DIR",
        help="YAML file, or a command and its folder.",
        autocompletion=complete_config,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]... [-- SBATCH OPTION...]",
        help="Settings to change; after --, any options of sbatch.",
        autocompletion=complete_override,
    ),
]
Nodes = Annotated[int | None, typer.Option(metavar="N", min=1, help="Nodes.")]
Gpus = Annotated[str | None, typer.Option(metavar="G", help="GPUs of each node: 4, or a100:4.")]
Cpus = Annotated[int | None, typer.Option(metavar="C", min=1, help="CPUs of each node.")]
Time = Annotated[str | None, typer.Option(metavar="T", help="Time limit: 12:00:00; a plain number is minutes.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the sbatch command, submit nothing.")]


def submit(
    config: ConfigOrCommand,
    settings: Settings = None,
    nodes: Nodes = None,
    gpus_per_node: Gpus = None,
    cpus_per_task: Cpus = None,
    time: Time = None,
    dry_run: DryRun = False,
    store: StoreOption = STORE,
) -> None:
    """Queue an experiment, a search, or an audit of a folder as a SLURM job.

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
    if str(config) in ON_FOLDERS:
        graph, config, command = _check_folder(str(config), overrides)
    else:
        graph = _check(config, overrides)
        command = ["run" if graph else "sweep", str(config), *overrides]
    named = {"nodes": nodes, "gpus-per-node": gpus_per_node, "cpus-per-task": cpus_per_task, "time": time}
    folder = store.absolute() / "slurm"
    sbatch = ["sbatch", "--parsable", f"--output={folder}/%j.log", *_site_options()]
    sbatch += [*(f"--{name}={value}" for name, value in named.items() if value), *options]
    # As arguments, the settings of the job do not depend on what sbatch exports.
    python = [f"DDB_PYTHON={sys.executable}", f"DDB_STORE={store.absolute()}", *command]
    if dry_run:
        out.print(shlex.join([*sbatch, str(snapshot.ROOT / "slurm" / "ddb.sbatch"), *python]))
        if not folder.exists():
            err.print(f"sbatch needs the folder of the log: mkdir -p {folder}")
        missing = [each for each in graph.stages() if not (store / each.name / each.key).is_dir()] if graph else []
        if graph and missing:
            show_memory(graph, missing, err)
        return
    try:
        Store(store).open_to_write()
        code = snapshot.take(folder / "code", git_state())
        job = queue.submit([*sbatch, f"{code}/slurm/ddb.sbatch", f"DDB_CODE={code}", *python], shell_environment())
        out.print(f"job {job} is queued; its log: {queue.note(store.absolute(), job, command, config)}")
    except (LaunchError, OSError) as error:
        raise DDBError(str(error)) from None
    shown = ["ls"] if command[0] in ON_FOLDERS else ["status", str(config), *overrides]
    out.print(f"state: {shlex.join(['ddb', *shown, '--store', str(store)])}")
    out.print(f"log: {shlex.join(['ddb', 'logs', job, '--follow', '--store', str(store)])}")
    out.print(f"look in: slurm/attach {job}")


def _check_folder(command: str, arguments: list[str]) -> tuple[Graph, Path, list[str]]:
    """Of `ddb submit audit DIR [KEY=VALUE]...`: what would be computed, the folder, the command of the job."""
    if not arguments or not Path(arguments[0]).is_dir():
        raise DDBError(f"ddb submit {command}: name a folder of images, not {arguments[0] if arguments else 'nothing'}")
    experiment, _ = experiment_of(arguments, None, Path(), "features", keep=False)
    folder = Path(arguments[0]).absolute()
    return build_graph(experiment), folder, [command, str(folder), *arguments[1:]]


def _check(config: Path, overrides: list[str]) -> Graph | None:
    """The planned experiment; None for a search. Raises DDBError if the configuration has a mistake."""
    if "sweep" in config_file.read_file(config):
        from ddb.experiment.sweep import load_sweep

        load_sweep(config, overrides)
        return None
    graph = build_graph(config_file.load(config, overrides))
    show_notes(graph)
    for reason in dict.fromkeys(graph.missing_data.values()):
        err.print(f"cannot run yet on this machine: {reason}", style="yellow")
    return graph


def _site_options() -> list[str]:
    """Options of the site's file. Raises DDBError if it cannot be read."""
    named = os.environ.get("DDB_SBATCH")
    path = Path(named) if named else platformdirs.user_config_path("ddb") / "sbatch"
    if not named and not path.exists():
        return []
    try:
        return shlex.split(path.read_text(encoding="utf-8"), comments=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DDBError(f"{'DDB_SBATCH=' if named else ''}{path}: {reason}") from None
