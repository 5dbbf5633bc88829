"""The `ddb` command: the front door of the suite. Each command is a file of this folder.

ddb demo
ddb run configs/colored_digits.yaml sampling.guidance=3 seeds=[0]
"""

import gc
import platform
from importlib import import_module
from typing import Annotated

import typer

from ddb.store.record import PACKAGES, git_state, installed
from ray_jobs.cli.common import with_common_options
from ray_jobs.cli.configs import configs_app
from ray_jobs.cli.data import data_app
from ray_jobs.exit_codes import exit_codes
from ray_jobs.output import out

COMMANDS = ("run", "audit", "debias", "demo", "sweep", "rehearse", "submit", "status", "ls", "logs", "table", "report",
            "export", "export_model", "predict", "schema", "explain", "clean", "doctor")  # fmt: skip

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app, name="data")
app.add_typer(configs_app, name="configs")


def _show_version(asked: bool) -> None:
    if asked:
        made = git_state() or {}
        commit = f", commit {made['commit'][:12]}{' with changes' * made['dirty']}" if made else ""
        packages = ", ".join(f"{name} {installed(name)}" for name in PACKAGES if installed(name))
        out.print(f"ddb {installed('ddb-on-ray')}{commit}; Python {platform.python_version()}, {packages}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_show_version, is_eager=True, help="Print the versions of ddb and its packages."
    ),
]


@app.callback()
def root(version: Version = False) -> None:
    """Diffusing DeBias on Ray: find what breaks a shortcut, and train without it."""


for name in COMMANDS:
    module = import_module(f"{__name__}.{name}")
    app.command(epilog=f"Example: {module.EXAMPLE}")(with_common_options(getattr(module, name)))


def main() -> None:
    """Entry point: what is wrong with the input or the machine is one line and exit code 2, never a traceback."""
    gc.freeze()  # modules stay, and so do graphs; to search them for garbage is a third of a large one's time
    gc.set_threshold(50_000)
    with exit_codes():
        app(prog_name="ddb")  # even for `python -m ray_jobs.cli`: completion scripts contain it
