"""`ddb submit` and `ddb status` against a real SLURM. The script that is filled in starts no Ray."""

import subprocess
import sys
from pathlib import Path

import pytest

from ray_jobs import cli
from tests.slurm.conftest import until

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
sleep 600
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


def test_a_refusal_of_slurm_is_one_line_and_nothing_is_queued(slurm, ddb):
    for arguments, message in (
        (
            ["--partition", "nowhere"],
            "SLURM refuses --partition=nowhere: invalid partition specified: nowhere; Invalid",
        ),
        (["--time", "1-00:01"], "--time=1-00:01: partition main allows 1-00:00:00 at most"),
    ):
        code, _, error = ddb("submit", *arguments)
        assert code == 2 and error.startswith(message) and len(error.strip().splitlines()) == 1
    assert slurm.call("squeue", "--noheader", "--states=PENDING,RUNNING") == ""


def test_a_chain_in_the_queue_and_what_status_says_of_it(slurm, ddb, tmp_path):
    code, out, error = ddb("submit", "seeds=[0, 1]", "--chain", "2", "--partition", "main", "--time", "1:00:00")
    assert (code, error) == (0, "")
    first, second = (int(line.split()[1]) for line in out.splitlines()[:2])
    slurm.wait(first, ("RUNNING",))
    jobs = [slurm.job(number) for number in (first, second)]
    assert [job["JobState"] for job in jobs] == ["RUNNING", "PENDING"]
    assert [job["Dependency"] for job in jobs] == ["(null)", f"afterany:{first}(unfulfilled)"]
    assert all(job["Requeue"] == "0" and job["TimeLimit"] == "01:00:00" for job in jobs)

    running, waiting = _jobs(ddb)
    assert running.startswith(f"job {first}: RUNNING on n") and running.endswith(" of 01:00:00")
    assert waiting == f"job {second}: PENDING (Dependency afterany:{first}), 1 node, 00:00:00 of 01:00:00"

    log = tmp_path / "my runs" / "slurm" / f"{first}.log"
    expected = [str(tmp_path / "my project"), f"store {tmp_path / 'my runs'}", "<run>", f"<{CONFIG}>", "<seeds=[0, 1]>"]
    until(lambda: log.exists() and log.read_text().splitlines() == expected, log)
    assert str(log) in out

    subprocess.run(["scancel", str(first)], env=slurm.environment, check=True)
    slurm.wait(second, ("RUNNING",))
    ended, running = _jobs(ddb)
    assert ended.startswith(f"job {first}: CANCELLED on n") and running.startswith(f"job {second}: RUNNING on n")
    subprocess.run(["scancel", str(second)], env=slurm.environment, check=True)
    slurm.wait(second, ("CANCELLED",))


def _jobs(ddb):
    """What `ddb status` says above its table."""
    out = ddb("status", "seeds=[0]")[1].splitlines()
    jobs = [line for line in out if line.startswith("job ")]
    assert out[: len(jobs)] == jobs
    return jobs
