"""The batch script of one job: the script that people edit, with what was asked for filled in. Text in, text out.

    ddb submit configs/colored_digits.yaml --nodes 2 --time 4:00:00 --dry-run       # prints it

    command = ("run", "configs/colored_digits.yaml")
    request = Request(command, Path.cwd(), Path("runs").absolute(), Path(sys.executable), os.environ, nodes=2)
    check(request, script)
    render(script, request)

An option that was asked for takes the place of the script's line for it, commented out or not, or comes after the last
#SBATCH line; the last "$@" becomes the command. Every other line stays, so what a site needs is written once, in the
script.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slurm.errors import LaunchError

SHORT = {
    "nodes": "N",
    "cpus-per-task": "c",
    "time": "t",
    "partition": "p",
    "account": "A",
    "qos": "q",
    "chdir": "D",
    "output": "o",
    "dependency": "d",
}
# An environment variable of these beats the script's line, silently.
VARIABLES = {
    "gpus-per-node": "SBATCH_GPUS_PER_NODE",
    "time": "SBATCH_TIMELIMIT",
    "partition": "SBATCH_PARTITION",
    "account": "SBATCH_ACCOUNT",
    "qos": "SBATCH_QOS",
    "output": "SBATCH_OUTPUT",
}
VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s"'#]+)"""
GAP = r"(?:=|\s+(?!-))"  # behind a space, what begins with - is the next option
COMMENT = r"\s*(?:#.*)?"
SINGLE = re.compile(rf"#SBATCH\s+(?:--[\w-]+(?:{GAP}{VALUE})?|-\w\s*(?:{VALUE})?){COMMENT}")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,@+:/-]*")
GPUS = re.compile(r"(?:[A-Za-z0-9_.-]+:)?[0-9]{1,6}")
TIME = re.compile(r"(?:([0-9]{1,6})-)?([0-9]{1,6})(?::([0-9]{1,6}))?(?::([0-9]{1,6}))?")
UNSAFE = re.compile(r"[\x00-\x1f\x7f\"\\%]")  # ends a quoted value or its line, or stands for something in --output
SIGNAL_DEFAULT = 60  # seconds before the end, where --signal does not say how many


@dataclass(frozen=True)
class Request:
    """What somebody wants to run, and on what; None leaves the script's own line."""

    command: tuple[str, ...]  # what `ddb` is given
    folder: Path  # absolute; where the job runs
    store: Path  # absolute; on storage that all nodes share
    python: Path  # of the environment that has this project
    environment: Mapping[str, str] = field(repr=False)  # what `sbatch` sees, and the job inherits
    nodes: int | None = None
    gpus_per_node: str | None = None  # "4", or "a100:4"
    cpus_per_task: int | None = None
    time: str | None = None  # as SLURM writes it
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    chain: int = 1  # jobs, one after the other

    def given(self) -> dict[str, str]:
        """SLURM's name of every option that was asked for, and its value."""
        values = {
            "nodes": self.nodes,
            "gpus-per-node": self.gpus_per_node,
            "cpus-per-task": self.cpus_per_task,
            "time": self.time,
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
        }
        return {name: str(value) for name, value in values.items() if value is not None}

    def log(self, job: str) -> Path:
        """Where everything that this job prints is; "%j" stands for its number in SLURM's own options."""
        return self.store / "slurm" / f"{job}.log"

    def variables(self) -> set[str]:
        """Environment variables that `sbatch` must not see: it would take them instead of what was asked for."""
        hidden = {VARIABLES[name] for name in [*self.given(), "output"] if name in VARIABLES}
        return hidden | ({"SBATCH_REQUEUE"} if self.chain > 1 else set())


def check(request: Request, script: str) -> None:
    """Raises LaunchError, which names the option, for what is wrong whatever the cluster is like."""
    numbers = {"nodes": request.nodes, "cpus-per-task": request.cpus_per_task, "chain": request.chain}
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise LaunchError(f"--{name}: must be at least 1 (got {number})")
    if request.gpus_per_node is not None and not GPUS.fullmatch(request.gpus_per_node):
        raise LaunchError(f"--gpus-per-node: must be a number, or type and number as in a100:4 (got "
                          f"{request.gpus_per_node!r})")  # fmt: skip
    for name, value in {"partition": request.partition, "account": request.account, "qos": request.qos}.items():
        if value is not None and not NAME.fullmatch(value):
            raise LaunchError(f"--{name}: must be letters, digits and _ . , @ + : / - (got {value!r})")
    for what, path in {"--store": request.store, "the current folder": request.folder}.items():
        if UNSAFE.search(str(path)):
            raise LaunchError(f"{what}: a path with a quote, backslash, percent sign or control character cannot be "
                              f"given to SLURM (got {str(path)!r})")  # fmt: skip
    if request.time is not None:
        _check_time(request.time, warning(script))
    if _command_line(script.split("\n")) is None:
        raise LaunchError('--script: has no line with "$@", where the command goes')


def _check_time(time: str, least: int) -> None:
    found = seconds(time)
    if found is None:
        raise LaunchError(f"--time: must be minutes, minutes:seconds, hours:minutes:seconds, days-hours, "
                          f"days-hours:minutes or days-hours:minutes:seconds (got {time!r})")  # fmt: skip
    if found <= least:
        raise LaunchError(f"--time: {time} is {found} s, of which the last {least} s are for ending (--signal in the "
                          "script); it must be longer")  # fmt: skip


def seconds(time: str) -> int | None:
    """Seconds of a time limit as SLURM takes it, up to the next full minute; None where it is none."""
    match = TIME.fullmatch(time)
    if match is None:
        return None
    days, *fields = [None if field is None else int(field) for field in match.groups()]
    fields = [field for field in fields if field is not None]
    # Without days a single number, and the first of two, are minutes.
    units = (3600, 60, 1) if days is not None else {1: (60,), 2: (60, 1), 3: (3600, 60, 1)}[len(fields)]
    total = (days or 0) * 86400 + sum(field * unit for field, unit in zip(fields, units, strict=False))
    return -(-total // 60) * 60


def warning(script: str) -> int:
    """Seconds before its time limit at which the script lets its job be warned; 0 where it does not."""
    signal = value_of(script, "signal")
    if signal is None:
        return 0
    before = re.search(r"@([0-9]+)", signal)
    return int(before[1]) if before else SIGNAL_DEFAULT


def value_of(script: str, name: str) -> str | None:
    """What the script itself says for an option, None where it says nothing; the last line counts."""
    lines = script.split("\n")
    pattern = re.compile(rf"#SBATCH\s+{_option(name)}{COMMENT}")
    found = [match[1] for line in lines[: _header(lines)] if (match := pattern.fullmatch(line))]
    return found[-1].strip("\"'") if found else None


def render(script: str, request: Request, after: str | None = None) -> str:
    """The script of one job of the request; `after` is the number of the job that must be over before.

    The script has passed `check`.
    """
    lines = script.split("\n")
    options = request.given() | {"chdir": str(request.folder), "output": str(request.log("%j"))}
    if after is not None:
        options["dependency"] = f"afterany:{after}"
    for name, value in options.items():
        _put(lines, _option(name), f"#SBATCH --{name}={_quoted(value)}")
    if request.chain > 1:
        _put(lines, "--(?:no-)?requeue", "#SBATCH --no-requeue")
    place = _command_line(lines)
    before, _, behind = lines[place].rpartition('"$@"')
    lines[place] = before + shlex.join(request.command) + behind
    while lines[place - 1].endswith("\\"):
        place -= 1
    exports = {"DDB_STORE": request.store, "DDB_PYTHON": request.python}
    lines[place:place] = [f"export {name}={shlex.quote(str(path))}" for name, path in exports.items()]
    return "\n".join(lines)


def difference(request: Request) -> str:
    """What the later jobs of a chain have that the first has not, as a comment below its script; "" for one job."""
    if request.chain == 1:
        return ""
    return (
        f"# {request.chain} jobs in all; each but the first has one more line, and starts when that job is over:\n"
        "# #SBATCH --dependency=afterany:<number of the job before>\n"
    )


def _put(lines: list[str], option: str, line: str) -> None:
    """Make `line` what counts for an option, in place; sbatch takes the last of several."""
    pattern, end = re.compile(rf"#SBATCH\s+{option}{COMMENT}"), _header(lines)
    live = [i for i in range(end) if lines[i].startswith("#SBATCH")]
    places = [i for i in live if pattern.fullmatch(lines[i])]
    places = places or [i for i in range(end) if lines[i].startswith("##SBATCH") and pattern.fullmatch(lines[i][1:])]
    if places and all(SINGLE.fullmatch(lines[i]) for i in live if i > places[-1]):
        lines[places[-1]] = line
    else:  # also where a later line has several options, and this one may be among them
        lines.insert(live[-1] + 1 if live else 1, line)


def _option(name: str) -> str:
    """A pattern for an option with its value, which is group 1."""
    short = f"|-{SHORT[name]}\\s*" if name in SHORT else ""
    return rf"(?:--{name}{GAP}{short})({VALUE})"


def _header(lines: list[str]) -> int:
    """Number of lines before the first command, after which sbatch looks for no options."""
    return next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), len(lines))


def _command_line(lines: list[str]) -> int | None:
    found = [i for i, line in enumerate(lines) if '"$@"' in line and not line.lstrip().startswith("#")]
    return found[-1] if found else None


def _quoted(value: str) -> str:
    """As sbatch reads it from a script: a space or # would end the value."""
    return value if re.fullmatch(r"[\w./,@%+:=-]+", value) else f'"{value}"'
