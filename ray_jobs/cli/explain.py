"""`ddb explain`: where a result comes from."""

from typing import Annotated

import typer

from ddb.store import Store
from ray_jobs.cli.arguments import STORE, StoreOption
from ray_jobs.output import out

EXAMPLE = "ddb explain cdpm/537a507a0e1d5dc6"

Result = Annotated[str, typer.Argument(metavar="RESULT", help="KIND/KEY, a key or its first digits, or a path.")]


def explain(result: Result, store: StoreOption = STORE) -> None:
    """Print what a result was made from, by which code, and what would cause it to be computed again."""
    from ddb.experiment import explain as module

    opened = Store(store)
    for line in module.explain(opened, module.find(opened, result)):
        out.print(line)
