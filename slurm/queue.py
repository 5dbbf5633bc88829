"""Jobs in SLURM's queue: submit one, note it in the store, and report its state later.

    ddb submit configs/colored_digits.yaml --nodes 2        # submit, note
    ddb status configs/colored_digits.yaml                  # states

`<store>/slurm/jobs.jsonl` has one line for every submitted job:

    {"job": "12", "command": ["run", "configs/colored_digits.yaml"], "config": "/.../colored_digits.yaml",
     "log": "/.../runs/slurm/12.log", "time": "2026-01-31T12:00:00+00:00"}
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from slurm.ended import accounted, by_log
from slurm.errors import LaunchError

ENDED = 10  # jobs that SLURM has forgotten and whose state is still shown
PATIENCE = 15  # seconds for a question; SLURM itself gives up a controller that is down after about ten
NOISE = re.compile(r"^(?:sbatch: )?(?:(?:slurm_load_jobs )?(?:error|fatal): )?")


def submit(command: list[str], environment: Mapping[str, str]) -> str:
    """Run `sbatch --parsable ...`; the job's number. Raises LaunchError with sbatch's own message, in one line."""
    if shutil.which(command[0]) is None:
        raise LaunchError("sbatch is not on PATH: submit on a machine of the cluster; --dry-run prints the command")
    answer = subprocess.run(command, capture_output=True, encoding="utf-8", env=dict(environment))
    if answer.returncode:
        raise LaunchError(f"sbatch: {_complaint(answer.stderr)}")
    return answer.stdout.strip().splitlines()[-1].partition(";")[0]


def note(store: Path, job: str, command: list[str], config: Path) -> Path:
    """Append a job to the store's list; its log. Raises OSError.

    One write, so that two processes that submit at once keep a line each.
    """
    shown = _ask("scontrol", "show", "job", job, "--oneliner").stdout
    log = Path((_field(shown, "StdOut") or f"{store}/slurm/%j.log").replace("%j", job))
    entry = {
        "job": job,
        "command": command,
        "config": str(config.resolve()),
        "log": str(log),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    descriptor = os.open(store / "slurm" / "jobs.jsonl", os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # by a kill or a full disk
        os.write(descriptor, ("\n" * cut + json.dumps(entry) + "\n").encode())
    finally:
        os.close(descriptor)
    return log


def noted(store: Path, config: Path) -> list[dict[str, Any]]:
    """The jobs that were submitted with this configuration file, oldest first."""
    try:
        lines = (store / "slurm" / "jobs.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    entries, ours = [], str(config.resolve())
    for line in lines:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # storage without an atomic append, or a full one
            continue
        if entry["config"] == ours:
            entries.append(entry)
    return entries


def states(store: Path, config: Path) -> list[str]:
    """A line for every noted job of this configuration, oldest first; of those that SLURM has forgotten, the last."""
    jobs = noted(store, config)
    if not jobs or shutil.which("squeue") is None:
        return []
    numbers = ",".join(job["job"] for job in jobs)
    answer = _ask("squeue", "--noheader", "--states=all", "--format=%i", f"--jobs={numbers}")
    if answer.returncode and "Invalid job id" not in answer.stderr:  # said where the only job asked for is unknown
        return [f"SLURM's queue: {_complaint(answer.stderr)}"]
    shown = {}
    for job in jobs:
        if job["job"] in answer.stdout.split():
            text = _ask("scontrol", "show", "job", job["job"], "--oneliner").stdout
            if _is_ours(text, job):
                shown[job["job"]] = _describe(text)
    forgotten = [job for job in jobs if job["job"] not in shown][-ENDED:]
    accounts = accounted(forgotten)
    for job in forgotten:
        shown[job["job"]] = accounts.get(job["job"]) or by_log(job)
    return [f"job {job['job']}: {shown[job['job']]}" for job in jobs if job["job"] in shown]


def _is_ours(shown: str, job: dict[str, Any]) -> bool:
    """Numbers start again when SLURM is set up anew, and a store may be used from two clusters; the log tells."""
    unexpanded = str(Path(job["log"]).with_name("%j.log"))
    return any(f" StdOut={path} " in f"{shown.strip()} " for path in (job["log"], unexpanded))


def _describe(shown: str) -> str:
    """State, where, how long and how often, of one line of `scontrol show job`."""
    state, nodes = _field(shown, "JobState"), _field(shown, "NodeList")
    if state == "PENDING":
        dependency = re.sub(r"\(.*?\)", "", _field(shown, "Dependency"))
        state += f" ({' '.join([_field(shown, 'Reason'), dependency]).strip()})"
    number = _field(shown, "NumNodes").partition("-")[0]
    where = f"on {nodes}" if nodes else f"{number} node{'' if number == '1' else 's'}"
    parts = [f"{state} {where}" if nodes else f"{state}, {where}"]
    parts.append(f"{_field(shown, 'RunTime')} of {_field(shown, 'TimeLimit')}")
    if (restarts := _field(shown, "Restarts")) not in ("", "0"):
        parts.append(f"restarted {restarts} time{'' if restarts == '1' else 's'}")
    if (code := _field(shown, "ExitCode").partition(":")[0]) not in ("", "0"):
        parts.append(f"exit code {code}")
    return ", ".join(parts)


def _field(shown: str, name: str) -> str:
    """A value of scontrol's `Name=value` list, which may have spaces; empty if there is none."""
    match = re.search(rf"(?:^|\s){name}=(.*?)(?=\s+[A-Z][\w/:]*=|\s*$)", shown)
    return match[1] if match and match[1] != "(null)" else ""


def _ask(*command: str) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {PATIENCE} s")


def _complaint(said: str) -> str:
    """What a SLURM command complains of, in one line and without its prefixes."""
    lines = [NOISE.sub("", line).strip() for line in said.splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line)) or "it does not say why"
