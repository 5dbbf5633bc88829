"""`slurm/attach` and what it serves: jobs without a command, `ddb submit`, salloc, an environment on local disk."""

import os
import signal
import site
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.slurm.conftest import FINAL, experiment, log, submitted, until

pytestmark = [pytest.mark.slurm, pytest.mark.long]
ATTACH, SCRIPT = (Path("slurm", name).absolute() for name in ("attach", "ddb.sbatch"))
ONE = ("--nodes=1", "--cpus-per-task=1", "slurm/ddb.sbatch")
WHERE = """
import sys, ray
ray.init(log_to_driver=False)
print(sys.prefix, ray.get(ray.remote(lambda: sys.prefix).remote()))
"""


def attach(slurm, job, *command, cwd="/"):
    """From a folder that has nothing to do with the job, and without a word on where its store is."""
    return subprocess.run([ATTACH, str(job), *command], capture_output=True, text=True, cwd=cwd, env=slurm.environment)


def up(directory, job):
    until(lambda: "a task; starting: ddb" in log(directory, job), directory / f"{job}.log")


def message(done):
    """The one line of a refusal."""
    assert done.returncode == 1 and not done.stdout
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("srun: ")]
    return line


def test_a_job_without_a_command_serves_commands_and_ends_when_it_is_idle(slurm, tmp_path):
    variables = {"DDB_PYTHON": sys.executable, "DDB_STORE": str(tmp_path / "my runs"), "DDB_IDLE_TIMEOUT": "2"}
    job = slurm.sbatch(*ONE[:-1], f"--output={tmp_path}/%j.log", ONE[-1], **variables)
    up(tmp_path, job)
    until(lambda: "/1.0 CPU" in attach(slurm, job, "ray", "status").stdout, tmp_path / f"{job}.log")  # seconds old
    assert attach(slurm, job, "bash", "-c", "exit 5").returncode == 5
    steps = attach(slurm, job, "sh", "-c", "scontrol show step $SLURM_JOB_ID.$SLURM_STEP_ID; echo $DDB_STORE")
    assert "gres" not in steps.stdout and str(tmp_path / "my runs") in steps.stdout
    done = slurm.wait(job, FINAL)
    assert (done["JobState"], done["ExitCode"]) == ("COMPLETED", "0:0"), log(tmp_path, job)
    assert "Ray ends: idle for 2 minutes (DDB_IDLE_TIMEOUT)" in log(tmp_path, job)
    assert message(attach(slurm, job)) == f"job {job}: is over (COMPLETED); its log: {tmp_path}/{job}.log"


def test_what_cannot_be_attached_to_is_said_in_one_line(slurm, tmp_path):
    assert message(attach(slurm, 99999)) == "job 99999: SLURM does not know it: Invalid job id specified"
    held = slurm.sbatch("--hold", f"--chdir={tmp_path}", "--wrap=true")
    assert message(attach(slurm, held)) == f"job {held}: has not started yet (JobHeldUser)"
    other = slurm.sbatch(f"--chdir={tmp_path}", "--wrap=sleep 60")
    slurm.wait(other, ("RUNNING",))
    assert message(attach(slurm, other)) == f"job {other}: no launcher of slurm/ddb.sbatch runs in it (yet)"
    slurm.call("scancel", str(held), str(other))


def test_a_job_of_ddb_submit_on_two_nodes_is_found_under_either_restart_number(slurm, tmp_path):
    path = experiment(tmp_path, cdpm={"steps": 100000})
    command = [sys.executable, "-m", "ray_jobs.cli", "submit", path, "--store", tmp_path / "runs"]
    options = ["--nodes", "2", "--cpus-per-task", "1"]
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
    assert salloc.wait(200) == 2
    said = log(tmp_path, "salloc")
    assert "all 2 nodes have run a task" in said and "cdpm.stepz: unknown setting" in said


def test_ctrl_c_ends_a_job_of_salloc(slurm, tmp_path):
    salloc = allocated(slurm, tmp_path, "--nodes=1", SCRIPT)
    up(tmp_path, "salloc")
    os.killpg(salloc.pid, signal.SIGINT)
    assert salloc.wait(60) == 0, log(tmp_path, "salloc")
    assert "Ray ends: the job is ending" in log(tmp_path, "salloc")
    assert slurm.call("squeue", "--noheader", "--states=RUNNING,PENDING") == ""


def test_an_environment_is_unpacked_on_the_node_and_everything_runs_from_it(slurm, tmp_path):
    """A small environment, which takes its packages from the tests' own, made an archive as the README says."""
    made = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
    (packages,) = made.glob("lib/python*/site-packages")
    (packages / "tests.pth").write_text("\n".join([*site.getsitepackages(), str(Path.cwd())]))
    for script in ("ray", "ddb"):
        (made / "bin" / script).write_bytes(Path(sys.executable).with_name(script).read_bytes())
        (made / "bin" / script).chmod(0o755)
    archive = tmp_path / "environment.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", made, "."], check=True)
    with tarfile.open(archive) as inside:
        assert "./bin/python" in inside.getnames()

    job = submitted(slurm, tmp_path, batch=ONE, DDB_ENVIRONMENT=str(archive))
    up(tmp_path, job)
    where = attach(slurm, job, "python", "-c", WHERE)
    driver, worker = where.stdout.split()
    assert driver == worker and driver.startswith("/tmp/ddb-") and driver.endswith("/environment"), where.stderr
    until(lambda: "/1.0 CPU" in attach(slurm, job, "ray", "status").stdout, tmp_path / f"{job}.log")
    slurm.call("scancel", "--signal=USR1", str(job))
    assert slurm.wait(job, FINAL)["JobState"] == "COMPLETED", log(tmp_path, job)
    assert not Path(driver).exists()
