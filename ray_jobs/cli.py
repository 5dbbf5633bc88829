"""The `ddb` command: the front door of the suite.

ddb demo
ddb run configs/colored_digits.yaml sampling.guidance=3 seeds=[0]
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ray_jobs.job import err, execute, out  # first: it sets the environment that torch and ray must find

from ddb import config as configuration  # isort: skip
from ddb.artifacts import Store  # isort: skip
from ddb.errors import DDBError  # isort: skip
from ddb.experiment import Plan, plan  # isort: skip

DEMO = Path(__file__).parent.parent / "configs" / "colored_digits.yaml"
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
data_app = typer.Typer(no_args_is_help=True, help="The data sets that are known.")
app.add_typer(data_app, name="data")

ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, as in configs/.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change.")]
StoreOption = Annotated[Path, typer.Option("--store", envvar="DDB_STORE", help="Where results are kept.")]
STORE = Path("runs")


@app.callback()
def root() -> None:
    """Diffusing DeBias on Ray: find what breaks a shortcut, and train without it."""


@app.command(epilog="Example: ddb run configs/colored_digits.yaml sampling.guidance=3 seeds=[0]")
def run(
    config: ConfigArgument,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show settings and stages, compute nothing.")] = False,
    store: StoreOption = STORE,
) -> None:
    """Compute whatever an experiment still misses, and print its table."""
    graph = plan(configuration.load(config, overrides))
    if dry_run:
        _show_plan(graph, store)
        return
    failed = execute(graph, Store(store))
    _print_table(graph, Store(store))
    raise typer.Exit(1 if failed else 0)


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


@data_app.command("list", epilog="Example: ddb data list")
def data_list() -> None:
    """The data sets by name: what papers compare on them, whether they are here, and where they are looked for."""
    from ddb.data import BENCHMARKS, DataMissing, data_root
    from ddb.data.files import data_home

    view = Table("name", "metric", "present", "where")
    for name, benchmark in BENCHMARKS.items():
        if name == "colored_digits":
            present, where = "[green]yes[/]", "built in"
        elif not benchmark.places:
            present, where = "–", "any folder: dataset.root"
        else:
            try:
                present, where = "[green]yes[/]", escape(str(data_root(benchmark.settings())))
            except DataMissing:
                present = "[yellow]no[/]"
                where = escape(" or ".join(str(data_home() / place) for place in benchmark.places))
        view.add_row(name, benchmark.metric, present, where)
    out.print(view)


@data_app.command("describe", epilog="Example: ddb data describe colored_digits conflict_ratio=0.02")
def data_describe(
    name: Annotated[str, typer.Argument(help="A name that ddb data list shows.")],
    overrides: Overrides = None,
    output: Annotated[Path | None, typer.Option(help="Contact sheet; default <name>.png.")] = None,
) -> None:
    """Images per group and split, and a contact sheet of images per group."""
    from ddb.data import load_dataset
    from ddb.report.contact_sheet import contact_sheet, group_table

    values = {"dataset": {"name": name}, "methods": {"erm": {}}}
    for override in overrides or []:
        configuration.apply_override(values, f"dataset.{override}")
    dataset = load_dataset(configuration.resolve(values).dataset)
    header, rows = group_table(dataset)
    view = Table(*header)
    for row in rows:
        view.add_row(*row)
    out.print(view)
    path = output or Path(f"{name}.png")
    contact_sheet(dataset, path)
    for note in dataset.notes:
        out.print(note, highlight=False, markup=False)
    out.print(f"contact sheet: {path}")


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


def _show_plan(graph: Plan, store: Path) -> None:
    import yaml

    out.print(yaml.safe_dump(graph.config.model_dump(mode="json"), sort_keys=False), highlight=False, markup=False)
    _show_stages(graph, Store(store))


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
