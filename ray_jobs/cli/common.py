"""Options of all commands but those of `ddb data` and `ddb configs`: -q, -v and, where it takes settings, --seeds."""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from ddb.errors import DDBError
from ray_jobs.output import set_volume

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and mistakes alone.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print keys, settings and every stage as well.")]
Seeds = Annotated[str | None, typer.Option(metavar="SEEDS", help="Such as 0-4, or 0,2,5: short for seeds=[...].")]
TAKES_SETTINGS = ("overrides", "arguments", "settings")  # how commands call their KEY=VALUE arguments
RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def with_common_options(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the options of all commands behind its own."""
    parameters = dict(inspect.signature(command).parameters)
    takes = next((name for name in TAKES_SETTINGS if name in parameters), None)

    @wraps(command)
    def whole(*, quiet: bool, verbose: bool, seeds: str | None = None, **values: Any) -> None:
        set_volume(quiet, verbose)
        if seeds and takes:
            given = list(values[takes] or [])
            place = next((i for i, each in enumerate(given) if each.startswith("-")), len(given))  # before sbatch's own
            values[takes] = [*given[:place], f"seeds={numbers(seeds)}", *given[place:]]
        command(**values)

    added = [("quiet", False, Quiet), ("verbose", False, Verbose)] + [("seeds", None, Seeds)] * bool(takes)
    for name, default, kind in added:
        parameters[name] = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
    whole.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    whole.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    del whole.__wrapped__  # type: ignore[attr-defined]
    return whole


def numbers(text: str) -> list[int]:
    """The seeds that `0-4` or `0,2,5-7` names. Raises DDBError for anything else."""
    found: list[int] = []
    for part in text.split(","):
        match = RANGE.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise DDBError(f"--seeds {text}: must be numbers and ranges, such as 0-4 or 0,2,5")
        found += range(first, last + 1)
    return list(dict.fromkeys(found))
