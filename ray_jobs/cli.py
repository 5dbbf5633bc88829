"""The `ddb` command: the front door of the suite.

ddb demo
ddb run configs/colored_digits.yaml sampling.guidance=3 seeds=[0]
"""

import gc
import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from ddb import config_file
from ddb.errors import DDBError
from ddb.experiment import plan
from ddb.store import Store
from ray_jobs import cli_show, cli_store, cli_submit
from ray_jobs.cli_data import data_app
from ray_jobs.cli_options import STORE, ConfigArgument, Overrides, StoreOption
from ray_jobs.ending import ending
from ray_jobs.job import execute, out
from ray_jobs.output import free

DEMO = Path(__file__).parent.parent / "configs" / "colored_digits.yaml"
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
app.add_typer(data_app, name="data")

ConfigOrOverrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CONFIG] [KEY=VALUE]...", help="YAML file as in configs/ (none with --data); settings."),
]
DataOption = Annotated[Path | None, typer.Option("--data", help="A folder of images, one folder per class.")]
DirectoryOrConfig = Annotated[
    list[str] | None,
    typer.Argument(metavar="DIR|CONFIG [KEY=VALUE]...", help="Folder with a folder per class, or YAML file; settings."),
]
VERDICTS = {"shortcut": "shortcut found", "none": "no shortcut found", "unclear": "not enough evidence"}


class Space(str, Enum):
    """Where signals are found in a folder of images."""

    features = "features"
    pixels = "pixels"


SpaceOption = Annotated[
    Space, typer.Option(help="Of a folder: features of a frozen encoder (a minute), or pixels with a diffusion model.")
]


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
    experiment, _ = _experiment(arguments, data, store, keep=not dry_run)
    graph = plan(experiment)
    config, *overrides = arguments or [""]
    for preset in [override for override in overrides if override.startswith("preset=")]:
        for change in config_file.preset_changes(config, overrides):
            out.print(f"{preset}: {change}")
    if dry_run:
        cli_show.show_plan(graph, Store(store))
        return
    failed = execute(graph, Store(store))
    cli_show.print_table(graph, Store(store))
    raise typer.Exit(1 if failed else 0)


@app.command(epilog="Example: ddb audit my_images")
def audit(
    arguments: DirectoryOrConfig = None,
    data: DataOption = None,
    space: SpaceOption = Space.features,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the files; default: one below audit in the store.")
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with code 3 for a shortcut, 4 without enough evidence.")
    ] = False,
    store: StoreOption = STORE,
) -> None:
    """Audit a data set for shortcuts: a list of suspicious images, a JSON summary and a page."""
    from ray_jobs.audit import run_audit

    experiment, name = _experiment(arguments, data, store, space)
    result, paths = run_audit(experiment.config, Store(store), output or store / "audit" / name, replace=bool(output))
    verdict = result.evidence.verdict
    out.print(f"{VERDICTS[verdict]}. {result.evidence.reason}")
    for path in paths:
        out.print(str(path))
    raise typer.Exit({"shortcut": 3, "unclear": 4}.get(verdict, 0) if exit_code else 0)


@app.command(epilog="Example: ddb debias my_images --review verdicts.csv")
def debias(
    arguments: DirectoryOrConfig = None,
    review: Annotated[
        Path | None, typer.Option(help="CSV with file_name, verdict (keep, relabel, drop) and new_label.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the files; default: one below debias in the store.")
    ] = None,
    store: StoreOption = STORE,
) -> None:
    """Train a classifier without the shortcut on a folder of images, in the feature space of a frozen encoder."""
    from ray_jobs.debias import run_debias

    settings = [] if review is None else [f"dataset.review={json.dumps(str(review))}"]
    experiment, name = _experiment([*(arguments or []), *settings], None, store, Space.features)
    lines, paths = run_debias(experiment.config, Store(store), output or store / "debias" / name)
    for line in [*lines, *map(str, paths)]:
        out.print(line)


@app.command(epilog="Example: ddb demo")
def demo(overrides: Overrides = None, store: StoreOption = STORE) -> None:
    """The paper's whole argument on Colored Digits, one seed, in minutes; ends with a table and a figure."""
    graph = plan(config_file.load(DEMO, ["seeds=[0]", *(overrides or [])]))
    opened = Store(store)
    failed = execute(graph, opened)
    cli_show.print_table(graph, opened)
    from ddb.report.figure import draw

    figure = opened.root / "demo.png"
    draw(graph, opened, figure)
    out.print(f"figure: {figure}")
    raise typer.Exit(1 if failed else 0)


@app.command(epilog="Example: ddb sweep configs/sweeps/colored_digits.yaml sweep.trials=40")
def sweep(
    config: ConfigArgument,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show space and default, compute nothing.")] = False,
    store: StoreOption = STORE,
) -> None:
    """Search over settings with Ray Tune and Optuna; the same command goes on where a killed one stopped."""
    from ddb import yaml_text
    from ddb.sweep import load_sweep

    search = load_sweep(config, overrides)
    if dry_run:
        settings = search.settings.model_dump(mode="json", exclude_none=True)
        text = yaml_text.write({"sweep": settings, "default": search.default})
        out.print(text)
        return
    from ray_jobs.sweep import outcome_table, run_sweep

    result = run_sweep(search, Store(store))
    out.print(outcome_table(result, search))
    for name in ("best.yaml", "sweep.json", "journal.log"):
        out.print(str(result.folder / name))


app.command(epilog=f"Example: {cli_submit.EXAMPLE}")(cli_submit.submit)
for command in (cli_show.status, cli_show.table, cli_show.report, cli_show.export, cli_show.schema):
    app.command(epilog=f"Example: {cli_show.EXAMPLES[command.__name__]}")(command)


for command in (cli_store.explain, cli_store.clean):
    app.command(epilog=f"Example: {cli_store.EXAMPLES[command.__name__]}")(command)


@app.command(epilog="Example: ddb doctor")
def doctor(store: StoreOption = STORE) -> None:
    """Check versions, devices, memory, store, data and Ray; exit code 1 when something is wrong."""
    from ray_jobs.doctor import checks

    colors, failed = {"ok": "green", "note": "yellow", "FAIL": "red"}, False
    for check in checks(str(store)):
        line = Text(f"{check.status:4}", colors[check.status]).append(f" {check.name:22} {check.detail}", "default")
        out.print(line)
        failed |= check.status == "FAIL"
    raise typer.Exit(1 if failed else 0)


def _experiment(
    arguments: list[str] | None, data: Path | None, store: Path, space: Space = Space.pixels, keep: bool = True
) -> tuple[config_file.Experiment, str]:
    """The experiment of a configuration or a folder of images, and a name for files about it.

    For a folder, a configuration is chosen, which is printed and, with `keep`, written into the store.
    """
    arguments = list(arguments or [])
    if data is None and arguments and Path(arguments[0]).is_dir():
        data = Path(arguments.pop(0))
    if data is None:
        if not arguments or "=" in arguments[0]:
            raise DDBError("name a configuration (CONFIG) or a folder of images (DIR)")
        return config_file.load(arguments[0], arguments[1:]), Path(arguments[0]).stem
    if arguments and "=" not in arguments[0]:
        raise DDBError(f"{arguments[0]}: give either a configuration or --data")
    import torch

    from ddb import yaml_text
    from ddb.defaults import configuration_for, features_configuration_for

    chosen: dict = {}
    for override in arguments:  # of the data set, since they may say how the folder is to be read
        if override.startswith("dataset."):
            config_file.apply_override(chosen, override)
    if space == Space.features:
        values, reasons = features_configuration_for(data, chosen.get("dataset"))
    else:
        values, reasons = configuration_for(data, torch.cuda.is_available(), chosen.get("dataset"))
    for reason in reasons:
        out.print(reason)
    text, path = yaml_text.write(values), store / f"{data.absolute().name}.yaml"
    if keep:
        Store(store).open_to_write()
        path = free(path, lambda known: known.read_bytes() == text.encode())
        path.write_text(text, encoding="utf-8")
        out.print(f"chosen configuration: {path}")
    return config_file.resolve(values, arguments, path), path.stem


def main() -> None:
    """Entry point: what is wrong with the input or the machine is one line and exit code 2, never a traceback."""
    gc.freeze()  # modules stay, and so do plans; to search them for garbage is a third of a large one's time
    gc.set_threshold(50_000)
    with ending():
        app()


if __name__ == "__main__":
    main()
