"""`ddb data`: which data sets are known and here, what is in them, whether they are sound, and how to get them.

ddb data list
ddb data check bar
"""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import DownloadColumn, Progress
from rich.table import Table
from rich.text import Text

from ddb.data import BENCHMARKS, DataMissing, DatasetConfig, FilesConfig, data_root, dataset_settings, load_dataset
from ddb.data.files import data_home
from ddb.errors import DDBError
from ddb.experiment.config_file import apply_override
from ray_jobs.cli.completion import complete_dataset, complete_dataset_setting
from ray_jobs.output import err, out

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME|DIR",
        help="A name that ddb data list shows, or a folder of images.",
        autocompletion=complete_dataset,
    ),
]
KnownName = Annotated[
    str, typer.Argument(metavar="NAME", help="A name that ddb data list shows.", autocompletion=complete_dataset)
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change.", autocompletion=complete_dataset_setting),
]
Sheet = Annotated[Path | None, typer.Option(help="Contact sheet; default NAME.png.")]
Shown = Annotated[int, typer.Option(min=1, help="Problems of a kind that are printed.")]
Problems = Annotated[Path | None, typer.Option(help="Text file for every problem.")]
Root = Annotated[Path | None, typer.Option(help="Folder to fill; default: its place below DDB_DATA or data/.")]

data_app = typer.Typer(no_args_is_help=True, help="The data sets that are known.")


def dataset_config(name: str, overrides: list[str] | None) -> DatasetConfig:
    """Settings of a data set from its name, or of a folder of images, and KEY=VALUE overrides."""
    place = name not in BENCHMARKS and (Path(name).exists() or os.sep in name)  # the name of a data set comes first
    folder = place and Path(name).is_dir()
    if place and not folder:
        raise DDBError(f"{name}: not a folder, and no data set has that name; an archive must be unpacked first")
    values = {"dataset": {"name": "folder", "root": name} if folder else {"name": name}}
    for override in overrides or []:
        apply_override(values, f"dataset.{override.removeprefix('dataset.')}")
    return dataset_settings(values["dataset"])


@data_app.command("list", epilog="Example: ddb data list")
def data_list() -> None:
    """The data sets by name: what papers compare on them, whether they are here, and where they are looked for."""
    view = Table("name", "metric", "present", "where")
    for name, benchmark in BENCHMARKS.items():
        if name == "colored_digits":
            present, where = Text("yes", "green"), "built in"
        elif not benchmark.places:
            present, where = "–", "any folder: ddb data describe DIR"
        else:
            try:
                settings = dataset_settings({"name": name})
                assert isinstance(settings, FilesConfig)
                present, where = Text("yes", "green"), str(data_root(settings))
            except DataMissing:
                present = Text("no", "yellow")
                where = " or ".join(str(data_home() / place) for place in benchmark.places)
        view.add_row(name, benchmark.metric, present, where)
    out.print(view)


@data_app.command("describe", epilog="Example: ddb data describe colored_digits conflict_ratio=0.02")
def data_describe(name: NameArgument, overrides: Overrides = None, output: Sheet = None) -> None:
    """Images per group and split, and a contact sheet of images per group."""
    from ddb.report.contact_sheet import contact_sheet, group_table

    dataset = load_dataset(dataset_config(name, overrides))
    header, rows = group_table(dataset)
    view = Table(*header)
    for row in rows:
        view.add_row(*row)
    out.print(view)
    for note in (*dataset.notes, *dataset.reading):
        out.print(note)
    path = output or Path(f"{Path(name).absolute().name}.png")
    contact_sheet(dataset, path)
    out.print(f"contact sheet: {path}")


@data_app.command("check", epilog="Example: ddb data check bar")
def data_check(name: NameArgument, overrides: Overrides = None, shown: Shown = 10, output: Problems = None) -> None:
    """Every file there and readable, counts as published, no image in two splits; exit code 1 when something is off."""
    from ddb.data.check import check, summarize

    config = dataset_config(name, overrides)
    if not isinstance(config, FilesConfig):
        raise DDBError(f"{name} is built in: it has no files to check")
    with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("reading images")
        report = check(config, os.cpu_count() or 1, lambda done, total: bar.update(task, completed=done, total=total))
    view = Table("split", "group", "found", "published")
    for split, group, found, known in report.counts:
        color = "" if known is None else "green" if known == found else "red"
        view.add_row(split, group, Text(f"{found:,}", color), "–" if known is None else f"{known:,}")
    if report.counts:
        out.print(view)
    lines = [f"{report.rows:,} rows, {report.present:,} images present, {report.bytes / 1e6:,.1f} MB"]
    lines += [f"sizes: {report.sizes} pixels"] * bool(report.sizes) + report.notes
    number = len(report.problems)
    lines += [f"{number:,} problem{'s' * (number > 1)}" if number else "no problems"]
    for line in [*lines, *summarize(report.problems, shown)]:
        out.print(line)
    if output:
        output.write_text("".join(f"{problem}\n" for problem in report.problems), encoding="utf-8")
    raise typer.Exit(1 if report.problems else 0)


@data_app.command("fetch", epilog="Example: ddb data fetch waterbirds")
def data_fetch(name: KnownName, root: Root = None) -> None:
    """Download a data set where it is public, and verify it; else say how to place it by hand."""
    from ddb.data.check import verify_counts
    from ddb.data.fetch import fetch

    if name in BENCHMARKS and not BENCHMARKS[name].places:
        raise DDBError(f"{name}: nothing to fetch; it is built in, or your own data")
    config = dataset_config(name, [])
    assert isinstance(config, FilesConfig)  # what has a place has files
    target = root or data_home() / BENCHMARKS[name].places[0]
    with Progress(*Progress.get_default_columns(), DownloadColumn(), console=err, disable=not err.is_terminal) as bar:
        task = bar.add_task(f"fetching {name}", total=None)
        verify = lambda folder: verify_counts(config.model_copy(update={"root": folder}))  # noqa: E731
        where = fetch(name, target, verify, lambda done: bar.update(task, completed=done))
    out.print(f"{name}: verified, in {where}")
