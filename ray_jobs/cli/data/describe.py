"""`ddb data describe`: what is in a data set."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ddb.data import load_dataset
from ray_jobs.cli.arguments import Overrides
from ray_jobs.cli.data.arguments import NameArgument, dataset_config
from ray_jobs.output import out

EXAMPLE = "ddb data describe colored_digits conflict_ratio=0.02"

Output = Annotated[Path | None, typer.Option(help="Contact sheet; default NAME.png.")]


def data_describe(name: NameArgument, overrides: Overrides = None, output: Output = None) -> None:
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
