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
from ray_jobs.job import show_notes
from ray_jobs.output import out, show

EXAMPLE = "ddb table configs/colored_digits.yaml --format latex"

Format = Annotated[str | None, typer.Option(help="markdown, latex, csv or json.")]
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
    format: Format = None,
    against: Against = None,
    store: StoreOption = STORE,
) -> None:
    """The table of an experiment or a search, from what is finished.

    Without --format, with rules on a terminal and as Markdown elsewhere.
    """
    from ddb.report import FORMATS, differences, render, render_differences, rows

    if format not in (None, *FORMATS):
        raise DDBError(f"--format: {format!r} is unknown; known: {', '.join(FORMATS)}")
    if "sweep" in config_file.read_file(config):
        from ddb.experiment.sweep import load_sweep
        from ddb.report.search import search_tables

        for option, given in (("--format", format), ("--against", against)):
            if given is not None:
                raise DDBError(f"{option}: a search has only the tables for reading; sweep.json in its folder has all")
        search = load_sweep(config, overrides)
        for view in search_tables(search, Store(store).root / "sweeps" / search.key):
            show(view)
        return
    graph = build_graph(config_file.load(config, overrides))
    show_notes(graph)
    if format is None and against is None:
        return print_table(graph, Store(store))
    found = rows(Results(graph, Store(store)))
    if against is None:
        text = render(found, format or "markdown")
    else:
        text = render_differences(differences(found, against), against, format or "markdown")
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def print_table(graph: Graph, store: Store) -> None:
    """The table for reading, from what is finished."""
    from ddb.report import render, rows, terminal_tables

    found = rows(Results(graph, store))
    if not out.is_terminal:
        sys.stdout.write(render(found, "markdown"))
        return
    for view in terminal_tables(found):
        out.print(view)
