"""`ddb submit`: an experiment or a search as a SLURM job, or as a chain of them.

ddb submit configs/colored_digits.yaml seeds=[0] --nodes 2 --gpus-per-node 4 --time 12:00:00 --dry-run
"""

import contextlib
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ddb import config_file
from ddb.artifacts import Store
from ddb.data import DataMissing
from ddb.errors import DDBError
from ddb.experiment import plan
from ray_jobs.cli_options import STORE, ConfigArgument, StoreOption
from ray_jobs.cluster import shell_environment
from ray_jobs.job import err, out, show_notes
from slurm import queue
from slurm.batch import Request, check, difference, render
from slurm.errors import LaunchError

SCRIPT = Path(queue.__file__).with_name("ddb.sbatch")
EXAMPLE = "ddb submit configs/colored_digits.yaml --nodes 4 --gpus-per-node 8 --time 12:00:00"
OWN = ("--store", "--data")  # options of `ddb run` that are settled here
ASKED = "What to ask SLURM for (what is left out stays as the script has it)"

Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]... [-- OPTION...]", help="Settings to change; after -- options of `ddb run`."),
]
Nodes = Annotated[int | None, typer.Option(metavar="N", help="Machines.", rich_help_panel=ASKED)]
Gpus = Annotated[
    str | None, typer.Option(metavar="G", help="GPUs of each machine: 4, or a100:4.", rich_help_panel=ASKED)
]
Cpus = Annotated[int | None, typer.Option(metavar="C", help="CPU cores of each machine.", rich_help_panel=ASKED)]
Time = Annotated[
    str | None,
    typer.Option(metavar="T", help="Time limit: 12:00:00, or 2-12 for days-hours; 30 is minutes, and so is the 4 in "
                 "4:00.", rich_help_panel=ASKED),
]  # fmt: skip
Partition = Annotated[
    str | None, typer.Option(metavar="P", help="Which part of the cluster; `sinfo` lists them.", rich_help_panel=ASKED)
]
Account = Annotated[str | None, typer.Option(metavar="A", help="Who is charged.", rich_help_panel=ASKED)]
Qos = Annotated[str | None, typer.Option(metavar="Q", help="Quality of service.", rich_help_panel=ASKED)]


def submit(
    context: typer.Context,
    config: ConfigArgument,
    settings: Settings = None,
    nodes: Nodes = None,
    gpus_per_node: Gpus = None,
    cpus_per_task: Cpus = None,
    time: Time = None,
    partition: Partition = None,
    account: Account = None,
    qos: Qos = None,
    chain: Annotated[
        int, typer.Option(metavar="K", help="Jobs one after the other, each going on where the one before stopped.")
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the script, submit nothing.")] = False,
    script: Annotated[
        Path, typer.Option(help="The batch script to fill in.", show_default="slurm/ddb.sbatch")
    ] = SCRIPT,
    store: StoreOption = STORE,
) -> None:
    """Queue an experiment or a search as a SLURM job.

    The job starts a Ray on its machines, runs `ddb run CONFIG` there (or
    `ddb sweep CONFIG`), and queues itself again when the time is over before
    the work is. A chain (--chain) does the same where SLURM does not requeue.

    Run it from the project's folder. The store must be on storage that all
    machines share. What your cluster needs beyond these options (modules,
    another python) you write once into slurm/ddb.sbatch. Everything is
    checked before anything is queued; --dry-run shows what would be.
    """
    overrides, further = _divided(settings or [])
    command = _planned(config, overrides)
    _check_further(context, command, further)
    request = Request(
        command=(command, str(config), *overrides, *further),
        folder=Path.cwd(),
        store=store.absolute(),
        python=Path(sys.executable),
        environment=shell_environment(),
        nodes=nodes,
        gpus_per_node=gpus_per_node,
        cpus_per_task=cpus_per_task,
        time=time,
        partition=partition,
        account=account,
        qos=qos,
        chain=chain,
    )
    try:
        text = _read(script)
        check(request, text)
        first = render(text, request)
        if dry_run:
            sys.stdout.write(first + difference(request))
            _show_memory(config, overrides, store)
            return
        queue.try_out(first, request)
    except LaunchError as error:
        raise DDBError(str(error)) from None
    jobs = _queue(text, request, config, overrides)
    _tell(context, config, overrides, store, jobs)


def _divided(settings: list[str]) -> tuple[list[str], list[str]]:
    """Settings, and the options after them; only behind -- does one arrive here."""
    first = next((i for i, each in enumerate(settings) if each.startswith("-")), len(settings))
    return settings[:first], settings[first:]


def _planned(config: Path, overrides: list[str]) -> str:
    """Which command the file is for, once it is known to work. Raises DDBError."""
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
    """What the job needs of it, beside the script; of a search it is not known before its trials are."""
    if "sweep" in config_file.read_file(config):
        return
    graph = plan(config_file.load(config, overrides))
    stages = graph.stages()
    missing = [stage for stage in stages if not (store / stage.name / stage.key).is_dir()]  # a dry run makes no store
    if not missing:
        return
    from ddb import memory

    with contextlib.suppress(DataMissing):  # of which nothing is published, so that nothing is known
        for line in memory.needs(graph, missing):
            err.print(f"memory: {line}")


def _check_further(context: typer.Context, command: str, further: list[str]) -> None:
    parameters = context.parent.command.get_command(context.parent, command).params
    known = [name for parameter in parameters for name in parameter.opts if name.startswith("-") and name not in OWN]
    for each in further:
        if each.startswith("-") and each.partition("=")[0] not in known:
            where = "give it before the --" if each.partition("=")[0] == "--store" else f"known: {', '.join(known)}"
            raise DDBError(f"{each}: is no option of `ddb {command}` that a job can have; {where}")


def _read(script: Path) -> str:
    try:
        return script.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise DDBError(f"--script {script}: {reason}") from None


def _queue(text: str, request: Request, config: Path, overrides: list[str]) -> list[str]:
    """Submit the jobs; each is told at once, since an error or a Ctrl-C may come before the next."""
    jobs: list[str] = []
    try:
        Store(request.store).open_to_write()
        (request.store / "slurm").mkdir(exist_ok=True)  # for the log; SLURM makes no folder
        for _ in range(request.chain):
            before = jobs[-1] if jobs else None
            jobs.append(queue.submit(render(text, request, before), request))
            when = f", to start after job {before}" if before else ""
            line = f"job {jobs[-1]} is queued{when}; its log: {request.log(jobs[-1])}"
            out.print(line)
            queue.note(request, jobs[-1], config, overrides)
    except (LaunchError, OSError) as error:
        numbers = " ".join(jobs)
        left = f"; queued already: {numbers}; to cancel: scancel {numbers}" if jobs else ""
        raise DDBError(f"{error}{left}") from None
    return jobs


def _tell(context: typer.Context, config: Path, overrides: list[str], store: Path, jobs: list[str]) -> None:
    """The commands with which one goes on."""
    status = ["ddb", "status", str(config), *overrides]
    if context.get_parameter_source("store").name == "COMMANDLINE":
        status += ["--store", str(store)]
    out.print(f"state: {shlex.join(status)}")
    out.print(f"look in: slurm/attach {jobs[0]}")
