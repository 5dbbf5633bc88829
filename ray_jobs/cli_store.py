"""Commands about single results of a store: where one comes from, and which are no longer needed."""

from pathlib import Path
from typing import Annotated

import typer

from ddb.store import Store
from ray_jobs.cli_options import STORE, StoreOption
from ray_jobs.output import out

EXAMPLES = {
    "explain": "ddb explain cdpm/537a507a0e1d5dc6",
    "clean": "ddb clean configs/colored_digits.yaml configs/ablations/guidance.yaml",
}


def explain(
    result: Annotated[str, typer.Argument(metavar="RESULT", help="KIND/KEY, a key or its first digits, or a path.")],
    store: StoreOption = STORE,
) -> None:
    """Print what a result was made from, by which code, and what would cause it to be computed again."""
    from ddb import explain as module

    opened = Store(store)
    for line in module.explain(opened, module.find(opened, result)):
        out.print(line)


def clean(
    configs: Annotated[list[Path], typer.Argument(metavar="CONFIG...", help="Configurations whose results to keep.")],
    delete: Annotated[bool, typer.Option("--delete", help="Remove the listed results.")] = False,
    store: StoreOption = STORE,
) -> None:
    """List the results that none of the named configurations needs; --delete removes them.

    Configurations count as their files are: results of overrides (KEY=VALUE) are
    listed too. Do not delete during a run on the same store.
    """
    from ddb.clean import needed, remove, size, unneeded

    opened = Store(store)
    sizes = {result: size(result) for result in unneeded(opened, needed(opened, configs))}
    for result, bytes in sizes.items():
        out.print(f"{result.parent.name}/{result.name}  {bytes / 1e6:.1f} MB")
    total = f"{len(sizes)} results, {sum(sizes.values()) / 1e6:.1f} MB"
    if delete:
        remove(opened, list(sizes))
        out.print(f"removed: {total}")
    else:
        out.print(f"no named configuration needs {total}" + ("; --delete removes them" if sizes else ""))
