"""`ddb report`: one page about an experiment."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ddb.errors import DDBError
from ddb.experiment import config_file
from ddb.experiment.graph import build_graph
from ddb.store import Store
from ray_jobs.cli.arguments import STORE, ConfigArgument, Overrides, StoreOption
from ray_jobs.output import out

EXAMPLE = "ddb report configs/ablations/guidance.yaml --output report.html"

Output = Annotated[Path | None, typer.Option(help="Where the page goes; default: report-CONFIG.html.")]


def report(
    config: ConfigArgument, overrides: Overrides = None, output: Output = None, store: StoreOption = STORE
) -> None:
    """One HTML page with tables, images, curves, costs and where every number came from; needs no network."""
    from ddb.report.report_page import render_report

    output = output or Path(f"report-{config.stem}.html")
    command = shlex.join(["ddb", "run", str(config), *(overrides or [])])
    text = render_report(build_graph(config_file.load(config, overrides)), Store(store), command)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DDBError(f"--output {output}: {error.strerror}") from None
    out.print(str(output))
