"""What became of a job that SLURM's controller has forgotten: by its accounting where there is one, else by its log.

    told = accounted(jobs)                          # job number -> "COMPLETED on n1, 03:10:00 of 04:00:00"
    told.get(job["job"]) or by_log(job)             # "forgotten by SLURM; its log ends: exit code 0"

A controller forgets a job minutes after its end (MinJobAge). `jobs` are entries of `<store>/slurm/jobs.jsonl`.
"""

import os
import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

PATIENCE = 15  # seconds
FIELDS = ("JobIDRaw", "Submit", "State", "ExitCode", "Elapsed", "Timelimit", "NodeList")
NEAR = 300  # seconds between SLURM's time of submission and ours, where the clocks of two machines differ
TAIL = 20_000  # bytes of a log that are read
LAUNCHER = re.compile(r"\[ *[\d.]+ s\] (.*)")
KILLED = re.compile(r"slurmstepd(?:-\S+)?: error: \*\*\* (JOB .*?) \*\*\*")


def accounted(jobs: list[dict[str, Any]]) -> dict[str, str]:
    """What `sacct` says, by the job's number; nothing of a job that it does not know, or where it has no accounting.

    Numbers start again when SLURM is set up anew, and clusters share a store: a job is ours if it was submitted when
    ours was. A requeued job has an entry for each start; the last counts.
    """
    if not jobs or shutil.which("sacct") is None:
        return {}
    numbers = ",".join(job["job"] for job in jobs)
    command = ["sacct", f"--jobs={numbers}", "--allocations", "--duplicates", "--parsable2", "--noheader"]
    command += [f"--format={','.join(FIELDS)}", "--starttime=1970-01-01"]
    environment = os.environ | {"SLURM_TIME_FORMAT": "%s"}
    try:
        answer = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=PATIENCE, env=environment)
    except subprocess.TimeoutExpired:
        return {}
    if answer.returncode:
        return {}
    entries = [dict(zip(FIELDS, line.split("|"), strict=False)) for line in answer.stdout.splitlines()]
    found = {}
    for job in jobs:
        submitted = datetime.fromisoformat(job["time"]).timestamp()
        starts = [each for each in entries if each["JobIDRaw"] == job["job"]]
        ours = [i for i, each in enumerate(starts) if abs(_number(each.get("Submit", "")) - submitted) < NEAR]
        if ours:
            found[job["job"]] = _describe(starts[ours[0] :])
    return found


def _number(text: str) -> float:
    return float(text) if text.isdecimal() else float("inf")


def _describe(starts: list[dict[str, str]]) -> str:
    """As `ddb status` says it of a job that the controller still knows."""
    last, more = starts[-1], len(starts) - 1
    parts = [f"{last['State']} on {last['NodeList']}", f"{last['Elapsed']} of {last['Timelimit']}"]
    if more:
        parts.append(f"restarted {more} time{'' if more == 1 else 's'}")
    if (code := last["ExitCode"].partition(":")[0]) not in ("", "0"):
        parts.append(f"exit code {code}")
    return ", ".join(parts)


def by_log(job: dict[str, Any]) -> str:
    """What the job's own log ended with."""
    path = Path(job["log"])
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError as error:
        return f"forgotten by SLURM; its log {path}: {error.strerror}"
    for line in reversed(lines):
        if match := LAUNCHER.match(line) or KILLED.match(line):
            return f"forgotten by SLURM; its log ends: {match[1]}"
    return f"forgotten by SLURM; its log {path} {f'ends: {lines[-1].strip()}' if lines else 'is empty'}"
