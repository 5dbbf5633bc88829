"""The `ddb` command: the front door of the suite. Each command is a file of this folder.

ddb demo
ddb run configs/colored_digits.yaml sampling.guidance=3 seeds=[0]
"""

import gc
from importlib import import_module

import typer

from ray_jobs.cli.data import data_app
from ray_jobs.exit_codes import exit_codes

COMMANDS = ("run", "audit", "debias", "demo", "sweep", "rehearse", "submit", "status", "table", "report", "export",
            "schema", "explain", "clean", "doctor")  # fmt: skip

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
app.add_typer(data_app, name="data")


@app.callback()
def root() -> None:
    """Diffusing DeBias on Ray: find what breaks a shortcut, and train without it."""


for name in COMMANDS:
    module = import_module(f"{__name__}.{name}")
    app.command(epilog=f"Example: {module.EXAMPLE}")(getattr(module, name))


def main() -> None:
    """Entry point: what is wrong with the input or the machine is one line and exit code 2, never a traceback."""
    gc.freeze()  # modules stay, and so do graphs; to search them for garbage is a third of a large one's time
    gc.set_threshold(50_000)
    with exit_codes():
        app()
