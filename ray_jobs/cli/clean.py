"""`ddb clean`: results that are no longer needed."""

from pathlib import Path
from typing import Annotated

import typer

from ddb.store import Store
from ray_jobs.cli.arguments import STORE, StoreOption
from ray_jobs.cli.completion import complete_config
from ray_jobs.output import out

EXAMPLE = "ddb clean configs/colored_digits.yaml configs/ablations/guidance.yaml"

Configs = Annotated[
    list[Path],
    typer.Argument(metavar="CONFIG...", help="Configurations whose results to keep.", autocompletion=complete_config),
]
Delete = Annotated[bool, typer.Option("--delete", help="Remove the listed results.")]


def clean(configs: Configs, delete: Delete = False, store: StoreOption = STORE) -> None:
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
