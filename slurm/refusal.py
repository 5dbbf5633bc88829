"""Which option SLURM refuses a batch script for: asked again with one of its options left out at a time.

    cause(script, request.given(), complaint, complain)     # "--qos=long"

SLURM's messages seldom name an option: "Requested node configuration is not available" may be the nodes, their GPUs or
the CPUs of a line in the script that nobody thought of.
"""

import os
import re
from collections.abc import Callable

from slurm.batch import SHORT, SINGLE, VARIABLES

QUESTIONS = 12  # at most; each takes a busy controller a second
ELSEWHERE = re.compile(r"contact|timed out|no answer|munge|authentication", re.IGNORECASE)  # no option's fault
# Options about which SLURM has nothing to refuse.
HARMLESS = ("job-name", "output", "error", "open-mode", "signal", "requeue", "no-requeue", "no-kill", "chdir")
OPTION = re.compile(r"#SBATCH\s+(?:--([\w-]+)|-(\w))")


def cause(script: str, given: dict[str, str], complaint: str, complain: Callable[[str, str | None], str | None]) -> str:
    """What to name beside `complaint`, with which SLURM refused `script`; everything in `given` where it stays unclear.

    `complain(script, without)` asks SLURM, an environment variable left out: its complaint, or None where it would take
    that script. An option is the cause where SLURM takes the script without it, or else complains of something else.
    """
    asked = " ".join(f"--{name}={value}" for name, value in given.items()) or "the script as it is"
    if ELSEWHERE.search(complaint):
        return asked
    taken, changed = [], []
    for shown, text, variable in _without_one(script, given)[:QUESTIONS]:
        answer = complain(text, variable)
        if answer is None:
            taken.append(shown)
        elif answer != complaint:
            changed.append(shown)
    return " with ".join(taken or changed) or asked


def _without_one(script: str, given: dict[str, str]) -> list[tuple[str, str, str | None]]:
    """For every option: how it is shown, the script without it, a variable to leave out; what was asked for first."""
    lines, asked, others = script.split("\n"), [], []
    for i, line in enumerate(lines):
        match = OPTION.match(line)
        if match is None or not SINGLE.fullmatch(line):
            continue
        name = match[1] or next((long for long, short in SHORT.items() if short == match[2]), match[2])
        without = "\n".join(lines[:i] + lines[i + 1 :])
        if name in given:
            asked.append((f"--{name}={given[name]}", without, None))
        elif name not in HARMLESS:
            others.append((f"the script's line {line.strip()}", without, None))
    for name, variable in VARIABLES.items():
        if variable in os.environ and name not in (*given, "output"):
            others.append((f"{variable}={os.environ[variable]} of the environment", script, variable))
    return asked + others
