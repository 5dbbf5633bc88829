"""`ddb run`: whatever an experiment still misses."""

import shlex
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from ddb import yaml_text
from ddb.experiment import config_file
from ddb.experiment.graph import Graph, build_graph
from ddb.experiment.results import Results
from ddb.experiment.status import counts, look
from ddb.progress import duration
from ddb.stages import KINDS
from ddb.store import Stage, Store
from ddb.store.record import device_name
from ray_jobs.cli.arguments import STORE, DataOption, StoreOption, experiment_of
from ray_jobs.cli.completion import complete_config_or_override
from ray_jobs.cli.status import show_stages
from ray_jobs.cli.table import print_table
from ray_jobs.job import execute, show_memory, show_notes
from ray_jobs.output import news, out, show

EXAMPLE = "ddb run configs/colored_digits.yaml sampling.guidance=3 seeds=[0]"

TOO_LONG = 48 * 3600  # seconds on a CPU

ConfigOrOverrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DIR|[CONFIG] [KEY=VALUE]...",
        help="YAML file as in configs/, or folder of images; settings.",
        autocompletion=complete_config_or_override,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be computed, and its cost; -v: all settings and stages.")
]
Only = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="Run only stages of this kind, such as cdpm, and their inputs.",
        autocompletion=lambda: list(KINDS),
    ),
]
Local = Annotated[bool, typer.Option("--local", help="Run in this process without Ray, one stage at a time.")]


def run(
    arguments: ConfigOrOverrides = None,
    data: DataOption = None,
    dry_run: DryRun = False,
    only: Only = None,
    local: Local = False,
    store: StoreOption = STORE,
) -> None:
    """Compute whatever an experiment still misses, and print its table.

    It can be ended at any time: the same command goes on. `ddb status` tells how
    far it is, from any machine that sees the store.
    """
    experiment, name = experiment_of(arguments, data, store, keep=not dry_run)
    graph, opened = build_graph(experiment), Store(store)
    graph.stages(only)  # a wrong kind is an error before anything is printed
    given = list(arguments or [])
    folder = data or Path(given[0]).is_dir()  # its configuration was chosen and written into the store
    config, overrides = str(store / f"{name}.yaml") if folder else given[0], given if data else given[1:]
    for preset in [override for override in overrides if override.startswith("preset=") and not folder]:
        for change in config_file.preset_changes(config, overrides):
            news.print(f"{preset}: {change}")
    if dry_run:
        show_graph(graph, opened, only)
        return
    failed = execute(graph, opened, name, only, local)
    if only is None:
        print_table(graph, opened)
        conclude(graph, opened, failed, [config, *overrides])
    raise typer.Exit(1 if failed else 0)


def conclude(graph: Graph, store: Store, failed: int, experiment: list[str]) -> None:
    """What came out, in a line, and what to do next; `experiment` is a configuration and its overrides."""
    from ddb.report import rows
    from ddb.report.conclusion import conclusion

    said = shlex.join([*experiment, *(["--store", str(store.root)] * (store.root != STORE.absolute()))])
    if failed:
        news.print(f"next: ddb status {said}", style="yellow")
        return
    if text := conclusion(rows(Results(graph, store))):
        news.print(text)
    news.print(f"next: ddb report {said}")


def show_graph(graph: Graph, store: Store, only: str | None = None) -> None:
    """What a run would do: stages of each kind, the cost of what is missing; with -v settings and keys."""
    for name in graph.experiment.axes:
        values = dict.fromkeys(str(point.varied.get(name, "as set")) for point in graph.experiment.points)
        if len(values) > 1:
            out.print(f"{name} varies: {', '.join(values)}")
    show_notes(graph)
    for reason in dict.fromkeys(graph.missing_data.values()):
        out.print(f"cannot run yet: {reason}", style="yellow")
    found = look(graph, store, only)
    missing = [each.stage for each in found if each.state != "done"]
    cells = f"{len(graph.cells)} cell{'s' * (len(graph.cells) > 1)}"
    out.print(f"{cells}; {len(found)} stages, {len(found) - len(missing)} of them in the store")
    if missing:
        _show_cost(graph, counts(found), missing)
    if news.verbose:
        out.print(yaml_text.write(graph.config.model_dump(mode="json")))
        show_stages(graph, found)


def _show_cost(graph: Graph, by_kind: dict[str, Counter[str]], missing: list[Stage]) -> None:
    """A line for each kind: what is there, what is to be computed, and how long that takes on this machine."""
    import torch
    from rich.table import Table

    from ddb.experiment.cost import estimate

    device = "cuda" if torch.cuda.is_available() else "cpu"
    costs = {cost.name: cost for cost in estimate(graph, missing, device)}
    view = Table("kind", "in the store", "to compute", "one unit", "all together")
    for column in view.columns[1:]:
        column.justify = "right"
    for kind, numbers in by_kind.items():
        cost, done = costs.get(kind), numbers["done"]
        times = (f"{_short(cost.unit_seconds)} per {cost.unit}", duration(cost.seconds)) if cost else ("", "")
        view.add_row(kind, str(done), str(numbers.total() - done), *times)
    show(view)
    total = sum(cost.seconds for cost in costs.values())
    verdict = ": it needs a GPU" if device == "cpu" and total > TOO_LONG else ""
    out.print(f"{duration(total)} on this machine's {device_name()}, one stage after the other{verdict}")
    out.print("by a probe of a few steps; the start of processes and the reading of files come on top")
    show_memory(graph, missing, out)


def _short(seconds: float) -> str:
    return duration(seconds) if seconds >= 60 else f"{seconds:.3g} s"
