"""Submitted jobs: `ddb submit` notes each in `<store>/slurm/<job>.json`, and `ddb status` prints their states."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from slurm.files import publish
from slurm.log import LaunchError
from slurm.scontrol import ask, complaint, field

NEWEST = 10  # jobs whose state is printed
# Lines of the launcher and of SLURM in a job's log.
LOGGED = re.compile(r"^(?:\[ *[\d.]+ s\] (.*)|slurmstepd.*? \*\*\* (JOB .*) \*\*\*)$", re.MULTILINE)


def submit(command: list[str], environment: Mapping[str, str]) -> str:
    """Run `sbatch --parsable ...`; the job's number. Raises LaunchError with sbatch's own message."""
    if shutil.which(command[0]) is None:
        raise LaunchError("sbatch is not on PATH: submit on a machine of the cluster; --dry-run prints the command")
    answer = subprocess.run(command, capture_output=True, text=True, env=dict(environment))
    if answer.returncode:
        raise LaunchError(f"sbatch: {complaint(answer.stderr)}")
    return answer.stdout.strip().splitlines()[-1].partition(";")[0]


def note(store: Path, job: str, command: list[str], config: Path) -> Path:
    """Note a job in the store; path of its log. Raises OSError."""
    shown = ask("scontrol", "show", "job", job, "--oneliner").stdout
    log = field(shown, "StdOut").replace("%j", job) or str(store / "slurm" / f"{job}.log")
    now = datetime.now().isoformat(timespec="seconds")
    entry = {"job": job, "command": command, "config": str(config.resolve()), "log": log, "submitted": now}
    publish(store / "slurm" / f"{job}.json", json.dumps(entry))
    return Path(log)


def log(store: Path, job: str) -> Path | None:
    """Where the log of a job is or will be that `ddb submit` has noted in the store; None for any other job."""
    return next((Path(entry["log"]) for entry in _entries(store) if entry["job"] == job), None)


def is_queued(job: str) -> bool:
    """Whether a job waits or runs, or SLURM does not answer."""
    answer = ask("squeue", "--noheader", "--format=%A", f"--jobs={job}")
    return bool(answer.stdout.strip()) or (answer.returncode != 0 and "Invalid job id" not in answer.stderr)


def _entries(store: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in (store / "slurm").glob("[0-9]*.json")]


def states(store: Path, config: Path | None = None) -> list[str]:
    """A line for each of the newest jobs, of this configuration file or of any, oldest first.

    By SLURM's queue; for a job that SLURM has purged by its accounting, else by the end of the job's log.
    """
    entries = [entry for entry in _entries(store) if config is None or entry["config"] == str(config.resolve())]
    entries = sorted(entries, key=lambda entry: (entry["submitted"], int(entry["job"])))[-NEWEST:]
    if not entries:
        return []
    numbers = ",".join(entry["job"] for entry in entries)
    answer = ask("squeue", "--noheader", "--states=all", "--format=%A %T %R, %M of %l", f"--jobs={numbers}")
    known = dict(line.strip().split(" ", 1) for line in answer.stdout.splitlines())
    lines = [f"job {each['job']}: {known.get(each['job']) or _accounted(each) or _logged(each)}" for each in entries]
    if answer.returncode and "Invalid job id" not in answer.stderr:  # an answer if no job of the list is known
        lines.insert(0, f"squeue: {complaint(answer.stderr)}")
    return lines


def _accounted(entry: dict[str, Any]) -> str:
    options = ["--allocations", "--noheader", "--parsable2", "--delimiter=, "]
    fields = "--format=State,NodeList,Elapsed,Timelimit,ExitCode"
    answer = ask("sacct", f"--jobs={entry['job']}", f"--starttime={entry['submitted']}", fields, *options)
    return answer.stdout.strip().split("\n")[-1] if answer.returncode == 0 else ""


def _logged(entry: dict[str, Any]) -> str:
    try:
        text = Path(entry["log"]).read_text(errors="replace")
    except OSError as error:
        return f"purged by SLURM; its log {entry['log']}: {error.strerror}"
    ends = [launcher or killed for launcher, killed in LOGGED.findall(text)] or text.strip().split("\n")
    return f"purged by SLURM; its log ends: {ends[-1]}"
