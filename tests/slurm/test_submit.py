"""`ddb submit` and `ddb status` against a real SLURM. The job is held, so no Ray is started."""

import sys
from pathlib import Path

import pytest

from ray_jobs import cli

pytestmark = pytest.mark.slurm

CONFIG = str(Path("configs/colored_digits.yaml").absolute())


@pytest.fixture
def ddb(slurm, tmp_path, monkeypatch, capsys):
    """`ddb ARGUMENTS` in a folder and with a store whose names have spaces: exit code, output, error output."""
    folder = tmp_path / "my project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SLURM_CONF", str(slurm.configuration))
    monkeypatch.setenv("DDB_STORE", str(tmp_path / "my runs"))
    monkeypatch.setenv("DDB_SBATCH", str(tmp_path / "sbatch"))
    (tmp_path / "sbatch").write_text("--hold\n--time=20\n")

    def run(command, *arguments):
        monkeypatch.setattr(sys, "argv", ["ddb", command, CONFIG, *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    yield run
    slurm.call("scancel", "--user=root")


def test_a_refusal_is_sbatchs_own_message_in_one_line_and_nothing_is_queued(slurm, ddb):
    code, out, error = ddb("submit", "--", "--partition=nowhere")
    assert code == 2 and not out
    said = "invalid partition specified: nowhere; Batch job submission failed: Invalid partition name specified"
    assert error == f"error: sbatch: {said}\n"
    assert slurm.call("squeue", "--noheader") == ""


def test_options_override_the_site_and_the_script_and_status_knows_the_job(slurm, ddb, tmp_path):
    code, out, error = ddb("submit", "seeds=[0]", "--nodes", "2", "--", "--time=1:00:00", "--cpus-per-task", "1")
    assert (code, error) == (0, "")
    number = int(out.split()[1])
    job = slurm.job(number)
    assert (job["NumNodes"], job["TimeLimit"], job["Requeue"], job["Reason"]) == ("2-2", "01:00:00", "1", "JobHeldUser")
    log = tmp_path / "my runs" / "slurm" / f"{number}.log"
    assert out.splitlines()[0] == f"job {number} is queued; its log: {log}"
    assert f"job {number}: PENDING (JobHeldUser), 0:00 of 1:00:00" in ddb("status", "seeds=[0]")[1].splitlines()
