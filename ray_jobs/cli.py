"""The `ddb` command: the front door of the suite.

ddb demo
ddb run configs/colored_digits.yaml sampling.guidance=3 seeds=[0]
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ray_jobs.job import err, execute, out  # first: it sets the environment that torch and ray must find

from ddb import config as configuration  # isort: skip
from ddb.artifacts import Store  # isort: skip
from ddb.errors import DDBError  # isort: skip
from ddb.experiment import Plan, plan  # isort: skip
from ray_jobs.cli_data import Overrides, data_app  # isort: skip

DEMO = Path(__file__).parent.parent / "configs" / "colored_digits.yaml"
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
app.add_typer(data_app, name="data")

ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, as in configs/.")]
StoreOption = Annotated[Path, typer.Option("--store", envvar="DDB_STORE", help="Where results are kept.")]
STORE = Path("runs")
ConfigOrOverrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CONFIG] [KEY=VALUE]...", help="YAML file as in configs/ (none with --data); settings."),
]
DataOption = Annotated[Path | None, typer.Option("--data", help="A folder of images, one folder per class.")]


@app.callback()
def root() -> None:
    """Diffusing DeBias on Ray: find what breaks a shortcut, and train without it."""


@app.command(epilog="Example: ddb run configs/colored_digits.yaml sampling.guidance=3 seeds=[0]")
def run(
    arguments: ConfigOrOverrides = None,
    data: DataOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show settings and stages, compute nothing.")] = False,
    store: StoreOption = STORE,
) -> None:
    """Compute whatever an experiment still misses, and print its table."""
    config, overrides = _config_or_data(arguments, data, store)
    graph = plan(configuration.load(config, overrides))
    for override in overrides or []:
        if override.startswith("preset="):
            for change in configuration.preset_changes(config, override.removeprefix("preset=")):
                out.print(f"{override}: {change}", highlight=False, markup=False)
    if dry_run:
        _show_plan(graph, Store(store))
        return
    failed = execute(graph, Store(store))
    _print_table(graph, Store(store))
    raise typer.Exit(1 if failed else 0)


@app.command(epilog="Example: ddb audit --data my_images")
def audit(
    arguments: ConfigOrOverrides = None,
    data: DataOption = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the files; default: audit in the store.")] = None,
    store: StoreOption = STORE,
) -> None:
    """Which training images break the shortcut, and is there a sign of one? Scores as Parquet and CSV, and a page."""
    from ray_jobs.audit import run_audit

    config, overrides = _config_or_data(arguments, data, store)
    result, paths = run_audit(configuration.load(config, overrides), Store(store), output or store / "audit")
    verdicts = {"shortcut": "sign of a shortcut", "none": "no sign of a shortcut", "unclear": "not enough evidence"}
    out.print(f"{verdicts[result.evidence.verdict]}. {result.evidence.reason}", highlight=False)
    for path in paths:
        out.print(str(path), markup=False, highlight=False)


@app.command(epilog="Example: ddb demo")
def demo(store: StoreOption = STORE) -> None:
    """The paper's whole argument on Colored Digits, one seed, in minutes; ends with a table and a figure."""
    graph = plan(configuration.load(DEMO, ["seeds=[0]"]))
    opened = Store(store)
    failed = execute(graph, opened)
    _print_table(graph, opened)
    from ddb.report.figure import draw

    figure = opened.root / "demo.png"
    draw(graph, opened, figure)
    out.print(f"figure: {figure}")
    raise typer.Exit(1 if failed else 0)


@app.command(epilog="Example: ddb status configs/colored_digits.yaml")
def status(config: ConfigArgument, overrides: Overrides = None, store: StoreOption = STORE) -> None:
    """Which stages are done, under way, failed or missing; works while a run goes on."""
    _show_stages(plan(configuration.load(config, overrides)), Store(store))


@app.command(epilog="Example: ddb table configs/colored_digits.yaml --format latex")
def table(
    config: ConfigArgument,
    overrides: Overrides = None,
    format: Annotated[str, typer.Option(help="markdown, latex, csv or json.")] = "markdown",
    store: StoreOption = STORE,
) -> None:
    """The table of an experiment from what is finished."""
    from ddb.report import FORMATS, render, rows

    if format not in FORMATS:
        raise DDBError(f"--format: {format!r} is unknown; known: {', '.join(FORMATS)}")
    text = render(rows(plan(configuration.load(config, overrides)), Store(store)), format)
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


@app.command(epilog="Example: ddb export configs/colored_digits.yaml results/colored_digits")
def export(
    config: ConfigArgument,
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Where the files go.")],
    overrides: Overrides = None,
    store: StoreOption = STORE,
) -> None:
    """Tables in every format, the figure and the records behind them, as a folder to publish."""
    from ddb.report.export import export as write

    for path in write(plan(configuration.load(config, overrides)), Store(store), directory):
        out.print(str(path), highlight=False, markup=False)


@app.command(epilog="Example: ddb doctor")
def doctor(store: StoreOption = STORE) -> None:
    """Check versions, devices, memory, store, data and Ray; exit code 1 when something is wrong."""
    from ray_jobs.doctor import checks

    colors, failed = {"ok": "green", "note": "yellow", "FAIL": "red"}, False
    for check in checks(str(store)):
        out.print(f"[{colors[check.status]}]{check.status:4}[/] {check.name:22} {check.detail}", highlight=False)
        failed |= check.status == "FAIL"
    raise typer.Exit(1 if failed else 0)


@app.command(epilog="Example: ddb bench configs/colored_digits.yaml --output results/bench.json")
def bench(
    config: ConfigArgument,
    overrides: Overrides = None,
    steps: Annotated[int, typer.Option(help="CDPM steps per measurement.")] = 100,
    rounds: Annotated[int, typer.Option(help="Alternations of direct and Ray training.")] = 2,
    images_per_class: Annotated[int, typer.Option(help="Images per class drawn by each sampler.")] = 10,
    output: Annotated[Path | None, typer.Option(help="JSON file to write as well.")] = None,
    store: StoreOption = STORE,
) -> None:
    """Measure training through Ray against a direct call, and DPM-Solver++ against 1000 ancestral steps."""
    from ray_jobs.bench import bench as measure

    graph = plan(configuration.load(config, overrides))
    text = json.dumps(measure(graph, Store(store), steps, rounds, images_per_class), indent=1)
    sys.stdout.write(text + "\n")
    if output:
        output.write_text(text + "\n")


def _config_or_data(arguments: list[str] | None, data: Path | None, store: Path) -> tuple[Path, list[str]]:
    """Configuration file and overrides; for a folder of images, a file with what is chosen for it, which is printed."""
    arguments = list(arguments or [])
    if data is None:
        if not arguments or "=" in arguments[0]:
            raise DDBError("name a configuration (CONFIG) or a folder of images (--data DIR)")
        return Path(arguments[0]), arguments[1:]
    if arguments and "=" not in arguments[0]:
        raise DDBError(f"{arguments[0]}: give either a configuration or --data")
    import torch
    import yaml

    from ddb.defaults import configuration_for

    values, reasons = configuration_for(data, torch.cuda.is_available())
    path = Store(store).root / f"{data.absolute().name}.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    for reason in [*reasons, f"chosen configuration: {path}"]:
        out.print(reason, markup=False, highlight=False)
    return path, arguments


def _print_table(graph: Plan, store: Store) -> None:
    from ddb.report import rows, terminal_table

    out.print(terminal_table(rows(graph, store)))
    for (seed, guidance), stage in graph.alignment.items():
        if store.has(stage):
            _print_alignment(store, stage, seed, guidance)


def _print_alignment(store: Store, stage, seed: int, guidance: float) -> None:
    seen = json.loads((store.path(stage) / "alignment.json").read_text())
    out.print(
        f"synthetic images, seed {seed}, guidance w = {guidance:g}: {seen['aligned_share']:.1%} bias-aligned, "
        f"{seen['right_class_share']:.1%} of the right class (probe accuracy on real test images: "
        f"bias {seen['probe_bias_accuracy']:.1%}, class {seen['probe_class_accuracy']:.1%})",
        highlight=False,
    )


def _show_plan(graph: Plan, store: Store) -> None:
    import yaml

    out.print(yaml.safe_dump(graph.config.model_dump(mode="json"), sort_keys=False), highlight=False, markup=False)
    _show_stages(graph, store)
    missing = [stage for stage in graph.stages() if not store.has(stage)]
    if graph.missing_data:
        out.print(f"cannot run yet: {graph.missing_data}", style="yellow", highlight=False, markup=False)
    if missing:
        _show_cost(graph, missing)


def _show_cost(graph: Plan, missing: list) -> None:
    import torch

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


def _show_stages(graph: Plan, store: Store) -> None:
    from ddb import progress
    from ray_jobs.console import stage_title

    view = Table("stage", "state", "artifact")
    for stage in graph.stages():
        report = progress.read(store.work_path(stage))
        if store.has(stage):
            state = "[green]done[/]"
        elif store.failure(stage) is not None:
            state = "[red]failed[/]"
        elif report:
            state = f"[cyan]begun, {progress.describe(report)}[/]"
        else:
            state = "missing"
        view.add_row(stage_title(stage), state, f"{stage.name}/{stage.key}")
    out.print(view)


def main() -> None:
    """Entry point: a user's mistake is one line and exit code 2, never a traceback."""
    try:
        app()
    except DDBError as error:
        err.print(str(error), style="red", markup=False, highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
