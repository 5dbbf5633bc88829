"""`ddb data check`: whether a data set is sound."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from ddb.data import FilesConfig
from ddb.errors import DDBError
from ray_jobs.cli.arguments import Overrides
from ray_jobs.cli.data.arguments import NameArgument, dataset_config
from ray_jobs.output import err, out

EXAMPLE = "ddb data check bar"

Shown = Annotated[int, typer.Option(min=1, help="Problems of a kind that are printed.")]
Output = Annotated[Path | None, typer.Option(help="Text file for every problem.")]


def data_check(name: NameArgument, overrides: Overrides = None, shown: Shown = 10, output: Output = None) -> None:
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
