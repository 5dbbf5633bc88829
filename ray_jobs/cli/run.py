"""`ddb run`: whatever an experiment still misses."""

from typing import Annotated

import typer

from ddb import yaml_text
from ddb.experiment import config_file
from ddb.experiment.graph import Graph, build_graph
from ddb.store import Stage, Store
from ray_jobs.cli.arguments import STORE, DataOption, StoreOption, experiment_of
from ray_jobs.cli.status import show_stages
from ray_jobs.cli.table import print_table
from ray_jobs.job import execute, out, show_memory, show_notes

EXAMPLE = "ddb run configs/colored_digits.yaml sampling.guidance=3 seeds=[0]"

ConfigOrOverrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DIR|[CONFIG] [KEY=VALUE]...", help="YAML file as in configs/, or folder of images; settings."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show settings and stages, compute nothing.")]
Only = Annotated[
    str | None, typer.Option(metavar="KIND", help="Run only stages of this kind, such as cdpm, and their inputs.")
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
    """Compute whatever an experiment still misses, and print its table."""
    experiment, _ = experiment_of(arguments, data, store, keep=not dry_run)
    graph, opened = build_graph(experiment), Store(store)
    graph.stages(only)  # a wrong kind is an error before anything is printed
    config, *overrides = arguments or [""]
    for preset in [override for override in overrides if override.startswith("preset=")]:
        for change in config_file.preset_changes(config, overrides):
            out.print(f"{preset}: {change}")
    if dry_run:
        show_graph(graph, opened, only)
        return
    failed = execute(graph, opened, only, local)
    if only is None:
        print_table(graph, opened)
    raise typer.Exit(1 if failed else 0)


def show_graph(graph: Graph, store: Store, only: str | None = None) -> None:
    """What a run would do: settings of the first point, what varies, every stage, the cost of what is missing."""
    out.print(yaml_text.write(graph.config.model_dump(mode="json")))
    for name in graph.experiment.axes:
        values = dict.fromkeys(str(point.varied.get(name, "as above")) for point in graph.experiment.points)
        out.print(f"{name} varies: {', '.join(values)}")
    show_notes(graph)
    finished = show_stages(graph, store, only)
    out.print(f"{len(graph.cells)} cells")
    missing = [stage for stage in graph.stages(only) if stage.key not in finished]
    for reason in dict.fromkeys(graph.missing_data.values()):
        out.print(f"cannot run yet: {reason}", style="yellow")
    if missing:
        _show_cost(graph, missing)


def _show_cost(graph: Graph, missing: list[Stage]) -> None:
    import torch
    from rich.table import Table

    from ddb.experiment.cost import estimate
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
