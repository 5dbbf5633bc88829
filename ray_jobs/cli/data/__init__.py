"""`ddb data`: which data sets are known and here, what is in them, whether they are sound, and how to get them.

ddb data list
ddb data check bar
"""

import typer

from ray_jobs.cli.data import check, describe, fetch, list

data_app = typer.Typer(no_args_is_help=True, help="The data sets that are known.")

for module in (list, describe, check, fetch):
    name = module.__name__.rpartition(".")[2]
    data_app.command(name, epilog=f"Example: {module.EXAMPLE}")(getattr(module, f"data_{name}"))
