"""`ddb table`: the table of an experiment, for reading or for a paper."""

import sys
from typing import Annotated

import typer

from ddb.errors import DDBError
from ddb.experiment import config_file
from ddb.experiment.graph import Graph, build_graph
from ddb.experiment.results import Results
from ddb.store import Store
from ray_jobs.cli.arguments import STORE, ConfigArgument, Overrides, StoreOption
from ray_jobs.job import out, show_notes

EXAMPLE = "ddb table configs/colored_digits.yaml --format latex"

Format = Annotated[str, typer.Option(help="markdown, latex, csv or json.")]
Against = Annotated[
    str | None,
    typer.Option(
        metavar="ROW",
        help="Print differences to this row instead, paired by seed, with 95 % intervals: a method, or a method and "
        "settings, such as 'ddb_two_step sampling.guidance=1'.",
    ),
]


def table(
    config: ConfigArgument,
    overrides: Overrides = None,
    format: Format = "markdown",
    against: Against = None,
    store: StoreOption = STORE,
) -> None:
    """The table of an experiment from what is finished."""
    from ddb.report import FORMATS, differences, render, render_differences, rows

    if format not in FORMATS:
        raise DDBError(f"--format: {format!r} is unknown; known: {', '.join(FORMATS)}")
    graph = build_graph(config_file.load(config, overrides))
    show_notes(graph)
    found = rows(Results(graph, Store(store)))
    if against is None:
        text = render(found, format)
    else:
        text = render_differences(differences(found, against), against, format)
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def print_table(graph: Graph, store: Store) -> None:
    """The table for reading, from what is finished."""
    from ddb.report import rows, terminal_tables

    for view in terminal_tables(rows(Results(graph, store))):
        out.print(view)
