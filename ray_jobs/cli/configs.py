"""`ddb configs`: the bundled configurations, their settings, and copies to edit.

ddb configs list
ddb configs show ablations/guidance base=waterbirds
"""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ddb import yaml_text
from ddb.errors import DDBError
from ddb.experiment.config_file import CONFIGS, load, locate, names, read_file
from ray_jobs.cli.arguments import Overrides
from ray_jobs.cli.completion import complete_config
from ray_jobs.output import out, show

KINDS = {"ablations": "ablation", "benchmarks": "benchmark", "sweeps": "search"}  # by folder

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A name from ddb configs list, or a YAML file.", autocompletion=complete_config
    ),
]
BundledName = Annotated[
    str, typer.Argument(metavar="NAME", help="A name from ddb configs list.", autocompletion=lambda: list(names()))
]
File = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Default: NAME.yaml in the current folder.")]

configs_app = typer.Typer(no_args_is_help=True, help="The bundled configurations.")


@configs_app.command("list", epilog="Example: ddb configs list")
def configs_list() -> None:
    """List the bundled configurations; ddb run and the other commands accept their names in place of a file."""
    view = Table("name", "kind", "about")
    for name, path in names().items():
        kind = KINDS.get(path.relative_to(CONFIGS).parts[0], "experiment")
        view.add_row(name, kind, _first_sentence(path.read_text(encoding="utf-8")))
    show(view)


@configs_app.command("show", epilog="Example: ddb configs show ablations/guidance base=waterbirds")
def configs_show(name: NameArgument, overrides: Overrides = None) -> None:
    """Print the resolved settings as YAML: with base, overrides and defaults. ddb configs copy writes the file itself.

    Varied settings have their first value; a comment lists all values. A search
    is printed with its default point.
    """
    if "sweep" in read_file(name):
        from ddb.experiment.sweep import load_sweep

        search = load_sweep(name, overrides)
        experiment = search.experiment({})
        sections = {"sweep": search.settings.model_dump(mode="json", exclude_none=True)}
    else:
        experiment, sections = load(name, overrides), {}
    out.print(yaml_text.write(experiment.config.model_dump(mode="json") | sections), end="")
    for axis in experiment.axes:
        values = dict.fromkeys(str(point.varied.get(axis, "as above")) for point in experiment.points)
        out.print(f"# {axis} varies: {', '.join(values)}")


@configs_app.command("copy", epilog="Example: ddb configs copy ablations/guidance my_guidance.yaml")
def configs_copy(name: BundledName, file: File = None) -> None:
    """Copy a bundled configuration as a file to edit; an existing file is not overwritten."""
    command = "sweep" if "sweep" in read_file(name) else "run"
    source = locate(name).resolve()
    if source not in [path.resolve() for path in names().values()]:  # else a relative `base` would be lost
        raise DDBError(f"{name}: is not a bundled configuration; ddb configs list prints their names")
    target = file or Path(source.name)
    try:
        with target.open("xb") as copy:
            copy.write(source.read_bytes())
    except FileExistsError:
        raise DDBError(f"{target}: exists already; name another file") from None
    out.print(f"{target}: edit it, then run: ddb {command} {target}")


def _first_sentence(text: str) -> str:
    """The first sentence of the comment at the top of a file."""
    comment = re.match(r"(#.*\n)+", text)
    lines = comment[0].replace("# ", "") if comment else ""
    sentence = re.match(r".+?[.?](?=\n| [^a-z])", lines, re.DOTALL)  # no lower case: "I.D. accuracy" is no end
    return " ".join(sentence[0].split()) if sentence else ""
