"""Commands that only look: what is planned, done and found. They read the store and work while a run goes on.

ddb status configs/colored_digits.yaml
ddb report configs/colored_digits.yaml
"""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.style import Style

from ddb import config_file
from ddb.errors import DDBError
from ddb.experiment import Plan, plan
from ddb.store import Stage, Store
from ray_jobs.cli_options import STORE, ConfigArgument, Overrides, StoreOption
from ray_jobs.job import out, show_memory, show_notes
from slurm import queue

EXAMPLES = {
    "status": "ddb status configs/colored_digits.yaml",
    "table": "ddb table configs/colored_digits.yaml --format latex",
    "report": "ddb report configs/ablations/guidance.yaml --output report.html",
    "export": "ddb export configs/colored_digits.yaml results/colored_digits",
    "schema": "ddb schema > experiment.schema.json",
}


def status(config: ConfigArgument, overrides: Overrides = None, store: StoreOption = STORE) -> None:
    """Which stages are done, under way, failed or missing, and the SLURM jobs (of a search only these)."""
    search = "sweep" in config_file.read_file(config)
    graph, opened = None if search else plan(config_file.load(config, overrides)), Store(store)
    jobs = queue.states(opened.root, config)
    for line in jobs:
        out.print(line)
    if graph:
        show_stages(graph, opened)
    elif not jobs:
        out.print(f"no SLURM job is known of the search {config}")


def table(
    config: ConfigArgument,
    overrides: Overrides = None,
    format: Annotated[str, typer.Option(help="markdown, latex, csv or json.")] = "markdown",
    against: Annotated[
        str | None,
        typer.Option(
            metavar="ROW",
            help="Print differences to this row instead, paired by seed, with 95 % intervals: a method, or a method "
            "and settings, such as 'ddb_two_step sampling.guidance=1'.",
        ),
    ] = None,
    store: StoreOption = STORE,
) -> None:
    """The table of an experiment from what is finished."""
    from ddb.report import FORMATS, differences, render, render_differences, rows

    if format not in FORMATS:
        raise DDBError(f"--format: {format!r} is unknown; known: {', '.join(FORMATS)}")
    graph = plan(config_file.load(config, overrides))
    show_notes(graph)
    found = rows(graph, Store(store))
    if against is None:
        text = render(found, format)
    else:
        text = render_differences(differences(found, against), against, format)
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def export(
    config: ConfigArgument,
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Where the files go.")],
    overrides: Overrides = None,
    store: StoreOption = STORE,
) -> None:
    """Tables in every format, the figure and the records behind them, as a folder to publish."""
    from ddb.report.export import export as write

    for path in write(plan(config_file.load(config, overrides)), Store(store), directory):
        out.print(str(path))


def report(
    config: ConfigArgument,
    overrides: Overrides = None,
    output: Annotated[Path | None, typer.Option(help="Where the page goes; default: report-CONFIG.html.")] = None,
    store: StoreOption = STORE,
) -> None:
    """One HTML page with tables, images, curves, costs and where every number came from; needs no network."""
    from ddb.report.report_page import render_report

    output = output or Path(f"report-{config.stem}.html")
    command = shlex.join(["ddb", "run", str(config), *(overrides or [])])
    text = render_report(plan(config_file.load(config, overrides)), Store(store), command)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DDBError(f"--output {output}: {error.strerror}") from None
    out.print(str(output))


def schema() -> None:
    """JSON Schema of configuration files, for editors that complete and check them."""
    from ddb.schema import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=1) + "\n")


def print_table(graph: Plan, store: Store) -> None:
    """The table for reading, from what is finished."""
    from ddb.report import rows, terminal_tables

    for view in terminal_tables(rows(graph, store)):
        out.print(view)


def show_plan(graph: Plan, store: Store) -> None:
    """What a run would do: settings of the first point, what varies, every stage, the cost of what is missing."""
    from ddb import yaml_text

    out.print(yaml_text.write(graph.config.model_dump(mode="json")))
    for name in graph.experiment.axes:
        values = dict.fromkeys(str(point.varied.get(name, "as above")) for point in graph.experiment.points)
        out.print(f"{name} varies: {', '.join(values)}")
    show_notes(graph)
    finished = show_stages(graph, store)
    out.print(f"{len(graph.cells)} cells")
    missing = [stage for stage in graph.stages() if stage.key not in finished]
    for reason in dict.fromkeys(graph.missing_data.values()):
        out.print(f"cannot run yet: {reason}", style="yellow")
    if missing:
        _show_cost(graph, missing)


def _show_cost(graph: Plan, missing: list[Stage]) -> None:
    import torch
    from rich.table import Table

    from ddb.cost import estimate
    from ddb.progress import duration

    device = "cuda" if torch.cuda.is_available() else "cpu"
    view = Table("to compute", "stages", "one unit", "all together")
    total = 0.0
    for cost in estimate(graph, missing, device):
        unit = f"{cost.unit_seconds:.3g} s per {cost.unit}"
        view.add_row(cost.name, str(cost.stages), unit, duration(cost.seconds))
        total += cost.seconds
    view.add_row("total", str(len(missing)), "", duration(total))
    out.print(view)
    out.print(f"estimated from a probe of this machine's {device}, one stage at a time; start-up and files come on top")
    show_memory(graph, missing, out)


def show_stages(graph: Plan, store: Store) -> set[str]:
    """Print every stage with its state and its place in the store; keys of the finished ones."""
    from ray_jobs.console import titles

    stages, names = graph.stages(), titles(graph)
    finished = store.finished(stages)
    lines = [("stage", "state", "", "artifact")]
    for stage in stages:
        state, color = ("done", "green") if stage.key in finished else _unfinished(stage, store)
        lines.append((names[stage.key], state, color, f"{stage.name}/{stage.key}"))
    first, second = (max(len(line[i]) for line in lines) for i in (0, 1))
    # By rich, 20,000 lines take longer than everything else together.
    text = (f"{n:{first}}  {_colored(f'{state:{second}}', color)}  {place}" for n, state, color, place in lines)
    out.file.write("\n".join(text) + "\n")
    return finished


def _unfinished(stage: Stage, store: Store) -> tuple[str, str]:
    """State of a stage that is not done, and its colour."""
    from ddb import progress

    if store.failure(stage) is not None:
        return "failed", "red"
    report = progress.read(store.work_path(stage))
    how_far = f", {progress.describe(report)}" if report else ""
    if store.interrupted(stage):
        return f"interrupted{how_far}", "yellow"
    return (f"begun{how_far}", "cyan") if report else ("missing", "")


def _colored(text: str, color: str) -> str:
    return Style.parse(color).render(text) if color and out.color_system else text
