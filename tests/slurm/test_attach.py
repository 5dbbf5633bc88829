"""`slurm/attach` to jobs of `ddb submit`, and jobs of salloc."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slurm.conftest import FINAL, experiment, log, until

pytestmark = [pytest.mark.slurm, pytest.mark.long]
ATTACH, SCRIPT = (Path("slurm", name).absolute() for name in ("attach", "ddb.sbatch"))


def attach(slurm, job, *command, cwd="/"):
    """From a folder that has nothing to do with the job, and without a word on where its store is."""
    return subprocess.run([ATTACH, str(job), *command], capture_output=True, text=True, cwd=cwd, env=slurm.environment)


def message(done):
    """The one line of a refusal."""
    assert done.returncode == 1 and not done.stdout
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("srun: ")]
    return line


def test_what_cannot_be_attached_to_is_said_in_one_line(slurm, tmp_path):
    assert message(attach(slurm, 99999)) == "job 99999: Invalid job id specified"
    held = slurm.sbatch("--hold", f"--chdir={tmp_path}", "--wrap=true")
    expected = f"job {held}: is not running: PENDING JobHeldUser; log: {tmp_path}/slurm-{held}.out"
    assert message(attach(slurm, held)) == expected
    other = slurm.sbatch(f"--chdir={tmp_path}", "--wrap=sleep 60")
    slurm.wait(other, ("RUNNING",))
    assert message(attach(slurm, other)) == f"job {other}: runs no command on Ray (yet); see its log"
    slurm.call("scancel", str(held), str(other))


def test_a_job_of_ddb_submit_on_two_nodes_is_found_under_either_restart_number(slurm, tmp_path):
    path = experiment(tmp_path, cdpm={"steps": 100000})
    command = [sys.executable, "-m", "ray_jobs.cli", "submit", path, "--store", tmp_path / "runs"]
    options = ["--nodes", "2", "--", "--cpus-per-task=1"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, env=slurm.environment)
    assert done.returncode == 0, done.stderr
    job, logs = int(done.stdout.split()[1]), tmp_path / "runs" / "slurm"
    for starts in (1, 2):
        until(lambda n=starts: log(logs, job).count("a task; starting: ddb") == n, logs / f"{job}.log")
        # Ray's own status is some seconds old.
        until(lambda: "/2.0 CPU" in attach(slurm, job, "ray", "status").stdout, logs / f"{job}.log")
        assert slurm.job(job)["Restarts"] == str(starts - 1)
        if starts == 1:
            slurm.call("scontrol", "requeue", str(job))
            slurm.wait(job, ("PENDING",))
            slurm.wait(job, ("RUNNING",))
    slurm.call("scancel", str(job))
    slurm.wait(job, FINAL)


def allocated(slurm, directory, *arguments):
    """`salloc` in a terminal's process group of its own, with what it prints in a file."""
    command = ["salloc", *arguments]
    variables = {"DDB_STORE": str(directory / "runs"), "DDB_PYTHON": sys.executable}
    output = (directory / "salloc.log").open("w")
    return subprocess.Popen(command, stdout=output, stderr=output, env=slurm.environment | variables,
                            start_new_session=True)  # fmt: skip


def test_salloc_runs_a_command_on_two_nodes_and_has_its_exit_code(slurm, tmp_path):
    path = experiment(tmp_path, cdpm={"stepz": 3})
    salloc = allocated(slurm, tmp_path, "--nodes=2", SCRIPT, "run", path)
    assert salloc.wait() == 2
    said = log(tmp_path, "salloc")
    assert "all 2 nodes have run a task" in said and "cdpm.stepz: unknown setting" in said


def test_ctrl_c_ends_a_job_of_salloc(slurm, tmp_path):
    path = experiment(tmp_path, cdpm={"steps": 100000})
    salloc = allocated(slurm, tmp_path, "--nodes=1", SCRIPT, "run", path, "resources.cdpm_workers=1")
    until(lambda: "a task; starting: ddb" in log(tmp_path, "salloc"), tmp_path / "salloc.log")
    os.killpg(salloc.pid, signal.SIGINT)
    assert salloc.wait() == 75, log(tmp_path, "salloc")
    assert "interrupted" in log(tmp_path, "salloc")
    assert slurm.call("squeue", "--noheader", "--states=RUNNING,PENDING") == ""
