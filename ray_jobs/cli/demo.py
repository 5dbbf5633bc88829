"""`ddb demo`: the paper's argument on the built-in data set."""

import typer

from ddb.experiment import config_file
from ddb.experiment.graph import build_graph
from ddb.store import Store
from ray_jobs.cli.arguments import STORE, Overrides, StoreOption
from ray_jobs.cli.run import conclude
from ray_jobs.cli.table import print_table
from ray_jobs.job import execute
from ray_jobs.output import out

EXAMPLE = "ddb demo"


def demo(overrides: Overrides = None, store: StoreOption = STORE) -> None:
    """The paper's whole argument on Colored Digits, one seed, in minutes; ends with a table and a figure."""
    experiment = config_file.load(config_file.CONFIGS / "colored_digits.yaml", ["seeds=[0]", *(overrides or [])])
    graph, opened = build_graph(experiment), Store(store)
    failed = execute(graph, opened, "demo")
    print_table(graph, opened)
    from ddb.report.figure import draw

    figure = opened.root / "demo.png"
    draw(graph, opened, figure)
    out.print(f"figure: {figure}")
    conclude(graph, opened, failed, ["colored_digits", "seeds=[0]", *(overrides or [])])
    raise typer.Exit(1 if failed else 0)
