"""Jobs in SLURM's queue: try one out, submit it, note it in the store, and say later what has become of it.

    ddb submit configs/colored_digits.yaml --nodes 2        # try_out, submit, note
    ddb status configs/colored_digits.yaml                  # states

`<store>/slurm/jobs.jsonl` has one line for every job that was submitted:

    {"job": "12", "command": ["run", "configs/colored_digits.yaml"], "config": "/.../colored_digits.yaml",
     "overrides": [], "log": "/.../runs/slurm/12.log", "time": "2026-01-31T12:00:00+00:00"}
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from slurm.batch import Request, seconds, value_of
from slurm.ended import accounted, by_log
from slurm.errors import LaunchError
from slurm.refusal import cause

ENDED = 10  # jobs that SLURM has forgotten and that are still told of
PATIENCE = 15  # seconds for a question; a controller that is down is given up by SLURM itself after about ten
NOISE = re.compile(
    r"^(?:sbatch: )?(?:(?:slurm_load_jobs )?(?:error|fatal): )?(?:allocation failure: |Batch job submission failed: )?"
)


def try_out(script: str, request: Request) -> None:
    """Ask SLURM whether it would take this script. Raises LaunchError with its complaint in one line.

    Most clusters take a time limit above the partition's and let the job wait for ever, so that is asked separately,
    except with a QOS, which may allow more, and with several partitions.
    """
    environment = _environment(request)
    answer = _sbatch(script, environment, "--test-only")
    if answer.returncode:
        complaint = _complaint(answer.stderr)
        raise LaunchError(
            f"SLURM refuses {cause(script, request.given(), complaint, _trial(environment))}: {complaint}"
        )
    tried = re.search(r" in partition (\S+)", answer.stderr)
    time = environment.get("SBATCH_TIMELIMIT") or value_of(script, "time")
    qos = environment.get("SBATCH_QOS") or value_of(script, "qos")
    several = "," in (environment.get("SBATCH_PARTITION") or value_of(script, "partition") or "")
    if tried is None or time is None or qos or several:
        return
    shown = _ask("scontrol", "show", "partition", tried[1], "--oneliner").stdout
    limit = _field(shown, "MaxTime")
    asked, most = seconds(time), seconds(limit)
    if asked is not None and most is not None and asked > most:
        raise LaunchError(f"--time={time}: partition {tried[1]} allows {limit} at most")


def submit(script: str, request: Request) -> str:
    """Queue the script; the job's number. Raises LaunchError with SLURM's complaint in one line."""
    answer = _sbatch(script, _environment(request), "--parsable")
    if answer.returncode:  # the options were tried out before
        raise LaunchError(f"SLURM refuses the job: {_complaint(answer.stderr)}")
    return answer.stdout.strip().splitlines()[-1].partition(";")[0]


def note(request: Request, job: str, config: Path, overrides: list[str]) -> None:
    """Append a job to the store's list, in one write: two that submit at once keep a line each. Raises OSError."""
    entry = {
        "job": job,
        "command": list(request.command),
        "config": str(config.resolve()),
        "overrides": overrides,
        "log": str(request.log(job)),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    path = request.store / "slurm" / "jobs.jsonl"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # by a kill or a full disk
        os.write(descriptor, ("\n" * cut + json.dumps(entry) + "\n").encode())
    finally:
        os.close(descriptor)


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
    """A value of scontrol's `Name=value` list; empty where there is none."""
    match = re.search(rf"(?:^|\s){name}=(\S*)", shown)
    return match[1] if match and match[1] != "(null)" else ""


def _environment(request: Request) -> dict[str, str]:
    return {name: value for name, value in request.environment.items() if name not in request.variables()}


def _sbatch(script: str, environment: dict[str, str], option: str) -> subprocess.CompletedProcess:
    if shutil.which("sbatch") is None:
        raise LaunchError("sbatch is not on PATH: submit on a machine of the cluster; --dry-run shows the script here")
    return subprocess.run(["sbatch", option], input=script, capture_output=True, encoding="utf-8", env=environment)


def _trial(environment: dict[str, str]) -> Callable[[str, str | None], str | None]:
    """What SLURM complains of in a script, tried out without one variable; None where it would take it."""

    def complain(script: str, without: str | None) -> str | None:
        variables = {name: value for name, value in environment.items() if name != without}
        answer = _sbatch(script, variables, "--test-only")
        return _complaint(answer.stderr) if answer.returncode else None

    return complain


def _ask(*command: str) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {PATIENCE} s")


def _complaint(said: str) -> str:
    """What a SLURM command complains of, in one line and without its prefixes."""
    lines = [NOISE.sub("", line).strip() for line in said.splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line)) or "it does not say why"
