"""`ddb submit` and `ddb status` against a real SLURM. The script that is filled in starts no Ray."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ray_jobs import cli

pytestmark = pytest.mark.slurm

CONFIG = str(Path("configs/colored_digits.yaml").absolute())
TEMPLATE = """\
#!/bin/bash
#SBATCH --job-name=ddb
#SBATCH --nodes=1
##SBATCH --partition=gpu
#SBATCH --time=10
#SBATCH --requeue
pwd
echo "store $DDB_STORE"
printf '<%s>\\n' "$@"
sleep 60
"""


@pytest.fixture
def ddb(slurm, tmp_path, monkeypatch, capsys):
    """`ddb ARGUMENTS` in a folder and with a store whose names have spaces: exit code, output, error output."""
    folder = tmp_path / "my project"
    folder.mkdir()
    (folder / "mine.sbatch").write_text(TEMPLATE)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SLURM_CONF", str(slurm.configuration))
    monkeypatch.setenv("DDB_STORE", str(tmp_path / "my runs"))

    def run(command, *arguments):
        script = ["--script", "mine.sbatch"] if command == "submit" else []
        monkeypatch.setattr(sys, "argv", ["ddb", command, CONFIG, *script, *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    yield run
    slurm.call("scancel", "--user=root")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--partition", "nowhere"],
            "SLURM refuses --partition=nowhere: invalid partition specified: nowhere; Invalid",
        ),
        (["--nodes", "3"], "SLURM refuses --nodes=3: Requested node configuration is not available"),
        (["--gpus-per-node", "1"], "SLURM refuses --gpus-per-node=1: Invalid generic resource (gres) specification"),
        (["--time", "1-00:01"], "--time=1-00:01: partition main allows 1-00:00:00 at most"),
    ],
)
def test_what_only_slurm_knows_is_one_line_and_nothing_is_queued(slurm, ddb, arguments, message):
    code, _, error = ddb("submit", *arguments)
    assert code == 2
    assert error.startswith(message) and len(error.strip().splitlines()) == 1
    assert slurm.call("squeue", "--noheader", "--states=PENDING,RUNNING") == ""


def test_a_line_of_the_script_is_named_where_slurm_refuses_that(slurm, ddb):
    script = Path("mine.sbatch")
    script.write_text(TEMPLATE.replace("#SBATCH --nodes=1\n", "#SBATCH --nodes=1\n#SBATCH --cpus-per-task=8\n"))
    code, _, error = ddb("submit", "--qos", "long", "--time", "30")
    assert code == 2 and len(error.strip().splitlines()) == 1
    assert error.startswith("SLURM refuses the script's line #SBATCH --cpus-per-task=8: Requested node configuration")


def test_a_job_that_slurm_has_forgotten_is_told_by_its_log(slurm, ddb, tmp_path):
    ddb("submit")
    folder = tmp_path / "my runs" / "slurm"
    noted = json.loads((folder / "jobs.jsonl").read_text())
    known, forgotten = noted["job"], noted | {"job": "999999", "log": str(folder / "999999.log")}
    (folder / "999999.log").write_text("[   2.1 s] all nodes have run a task\n[  12.3 s] exit code 1\n")
    (folder / "jobs.jsonl").write_text(json.dumps(forgotten) + "\n")
    assert _jobs(ddb) == ["job 999999: forgotten by SLURM; its log ends: exit code 1"]
    (folder / "jobs.jsonl").write_text(json.dumps(forgotten) + "\n" + json.dumps(noted) + "\n")
    told = _jobs(ddb)
    assert [line.partition(":")[0] for line in told] == ["job 999999", f"job {known}"]
    assert "exit code 1" in told[0] and "forgotten" not in told[1]


def test_a_chain_in_the_queue_and_what_status_says_of_it(slurm, ddb, tmp_path):
    code, out, error = ddb("submit", "seeds=[0, 1]", "--chain", "2", "--partition", "main", "--time", "1:00:00")
    assert (code, error) == (0, "")
    first, second = (int(line.split()[1]) for line in out.splitlines()[:2])
    slurm.wait(first, ("RUNNING",), timeout=60)
    jobs = [slurm.job(number) for number in (first, second)]
    assert [job["JobState"] for job in jobs] == ["RUNNING", "PENDING"]
    assert [job["Dependency"] for job in jobs] == ["(null)", f"afterany:{first}(unfulfilled)"]
    assert all(job["Requeue"] == "0" and job["TimeLimit"] == "01:00:00" for job in jobs)

    running, waiting = _jobs(ddb)
    assert running.startswith(f"job {first}: RUNNING on n") and running.endswith(" of 01:00:00")
    assert waiting == f"job {second}: PENDING (Dependency afterany:{first}), 1 node, 00:00:00 of 01:00:00"

    log = tmp_path / "my runs" / "slurm" / f"{first}.log"
    expected = [str(tmp_path / "my project"), f"store {tmp_path / 'my runs'}", "<run>", f"<{CONFIG}>", "<seeds=[0, 1]>"]
    assert log.read_text().splitlines() == expected and str(log) in out

    subprocess.run(["scancel", str(first)], env=slurm.environment, check=True)
    slurm.wait(second, ("RUNNING",), timeout=60)
    ended, running = _jobs(ddb)
    assert ended.startswith(f"job {first}: CANCELLED on n") and running.startswith(f"job {second}: RUNNING on n")
    subprocess.run(["scancel", str(second)], env=slurm.environment, check=True)
    slurm.wait(second, ("CANCELLED",), timeout=60)


def _jobs(ddb):
    """What `ddb status` says above its table."""
    out = ddb("status", "seeds=[0]")[1].splitlines()
    jobs = [line for line in out if line.startswith("job ")]
    assert out[: len(jobs)] == jobs
    return jobs


def test_variables_of_the_environment_give_way_to_what_was_asked_for(slurm, ddb, monkeypatch):
    monkeypatch.setenv("SBATCH_TIMELIMIT", "7")
    monkeypatch.setenv("SBATCH_REQUEUE", "1")
    asked = ddb("submit", "--time", "20", "--chain", "2")[1].splitlines()[0].split()[1]
    left = ddb("submit")[1].splitlines()[0].split()[1]
    assert [slurm.job(int(job))["TimeLimit"] for job in (asked, left)] == ["00:20:00", "00:07:00"]
    assert [slurm.job(int(job))["Requeue"] for job in (asked, left)] == ["0", "1"]


def test_a_dry_run_is_what_sbatch_takes(slurm, ddb, tmp_path):
    script = ddb("submit", "--nodes", "2", "--dry-run")[1]
    (tmp_path / "my runs" / "slurm").mkdir(parents=True)
    submitted = subprocess.run(
        ["sbatch", "--parsable"], input=script, env=slurm.environment, capture_output=True, text=True, timeout=60
    )
    assert slurm.job(int(submitted.stdout))["NumNodes"].startswith("2")
