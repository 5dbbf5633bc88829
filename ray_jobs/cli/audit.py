"""`ddb audit`: is there a shortcut in a data set, and which images break it."""

from pathlib import Path
from typing import Annotated

import typer

from ddb.store import Store
from ray_jobs.cli.arguments import STORE, DataOption, DirectoryOrConfig, Space, StoreOption, experiment_of
from ray_jobs.output import out

EXAMPLE = "ddb audit my_images"
VERDICTS = {"shortcut": "shortcut found", "none": "no shortcut found", "unclear": "not enough evidence"}
CODES = {"shortcut": 3, "unclear": 4}

SpaceOption = Annotated[
    Space, typer.Option(help="Of a folder: features of a frozen encoder (a minute), or pixels with a diffusion model.")
]
Output = Annotated[Path | None, typer.Option(help="Folder for the files; default: one below audit in the store.")]
ExitCode = Annotated[
    bool, typer.Option("--exit-code", help="End with code 3 for a shortcut, 4 without enough evidence.")
]


def audit(
    arguments: DirectoryOrConfig = None,
    data: DataOption = None,
    space: SpaceOption = "features",
    output: Output = None,
    exit_code: ExitCode = False,
    store: StoreOption = STORE,
) -> None:
    """Audit a data set for shortcuts: a list of suspicious images, a JSON summary and a page."""
    from ray_jobs.audit import run_audit

    experiment, name = experiment_of(arguments, data, store, space)
    result, paths = run_audit(experiment.config, Store(store), output or store / "audit" / name, replace=bool(output))
    verdict = result.evidence.verdict
    out.print(f"{VERDICTS[verdict]}. {result.evidence.reason}")
    for path in paths:
        out.print(str(path))
    raise typer.Exit(CODES.get(verdict, 0) if exit_code else 0)
