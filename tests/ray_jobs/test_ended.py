"""Jobs that SLURM's controller has forgotten, in `ddb status`; and which option a refusal names. SLURM's programs are
small scripts, as in `test_cli_submit`, whose fixtures these are."""

# ruff: noqa: F401, F811

import json
import time

import pytest

from tests.ray_jobs.test_cli_submit import CONFIG, _line, ddb, fake

FORGOTTEN = "#!/bin/bash\necho 'slurm_load_jobs error: Invalid job id specified' >&2\nexit 1\n"
NO_ACCOUNTING = "#!/bin/bash\necho 'Slurm accounting storage is disabled' >&2\nexit 1\n"


@pytest.fixture
def job(ddb, fake, tmp_path):
    """A submitted job that the controller has forgotten: what `ddb status` says of it; its log."""
    assert ddb("submit", CONFIG).code == 0
    fake.write("squeue", FORGOTTEN)
    fake.write("sacct", NO_ACCOUNTING)
    log = tmp_path / "runs" / "slurm" / "101.log"

    def state(text=None):
        if text is not None:
            log.write_text(text)
        [line] = [line for line in ddb("status", CONFIG, "seeds=[0]").out.splitlines() if line.startswith("job ")]
        assert line.startswith("job 101: ")
        return line.removeprefix("job 101: ").replace(str(log), "LOG")

    return state


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "its log LOG: No such file or directory"),
        ("", "its log LOG is empty"),
        ("[   2.1 s] head is up\n| erm | 70.7 |\n[  12.3 s] exit code 0\n", "its log ends: exit code 0"),
        (
            "[   2.1 s] FAILED: DDB_STORE=/x: cannot be written\n\n",
            "its log ends: FAILED: DDB_STORE=/x: cannot be written",
        ),
        (
            "[  99.0 s] interrupted; queued again\n[  99.1 s] exit code 75\n[   0.1 s] job 101\n"
            "slurmstepd: error: *** JOB 101 ON n1 CANCELLED AT 2026-01-31T12:00:00 DUE TO TIME LIMIT ***\n",
            "its log ends: JOB 101 ON n1 CANCELLED AT 2026-01-31T12:00:00 DUE TO TIME LIMIT",
        ),
        (
            ".venv/bin/python: No such file or directory\n",
            "its log LOG ends: .venv/bin/python: No such file or directory",
        ),
    ],
)
def test_without_accounting_the_log_tells(job, text, told):
    assert job(text) == f"forgotten by SLURM; {told}"


def test_of_a_long_log_the_end_is_read(job):
    assert job("[ 1.0 s] exit code 3\n" + "x" * 200_000 + "\n[ 9.0 s] exit code 0\n").endswith(
        "its log ends: exit code 0"
    )


def _accounting(fake, *entries):
    lines = "\n".join("|".join(map(str, entry)) for entry in entries)
    fake.write("sacct", f'#!/bin/bash\nenv > "$CALLS/sacct.env"\necho "$@" > "$CALLS/sacct"\necho "{lines}"\n')


def test_accounting_tells_more_than_the_log(job, fake):
    now = int(time.time())
    _accounting(
        fake,
        (101, now - 9_000_000, "COMPLETED", "0:0", "00:00:05", "00:10:00", "n7"),  # of a SLURM before this one
        (101, now, "REQUEUED", "0:0", "03:00:00", "04:00:00", "n1"),
        (101, now + 11_000, "FAILED", "3:0", "00:10:00", "04:00:00", "n[1-2]"),
    )
    assert job("[ 9.0 s] exit code 3\n") == "FAILED on n[1-2], 00:10:00 of 04:00:00, restarted 1 time, exit code 3"
    assert "--jobs=101 " in (fake.calls / "sacct").read_text()
    assert "SLURM_TIME_FORMAT=%s\n" in (fake.calls / "sacct.env").read_text()


def test_the_accounting_of_another_job_with_the_same_number_is_not_taken(job, fake):
    _accounting(fake, (101, int(time.time()) - 9_000_000, "COMPLETED", "0:0", "00:00:05", "00:10:00", "n7"))
    assert job("[ 9.0 s] exit code 0\n") == "forgotten by SLURM; its log ends: exit code 0"


def test_of_many_forgotten_jobs_the_last_are_told(ddb, fake, tmp_path):
    ddb("submit", CONFIG, "--chain", "14")
    fake.write("squeue", FORGOTTEN)
    jobs = [line for line in ddb("status", CONFIG, "seeds=[0]").out.splitlines() if line.startswith("job ")]
    assert [line.split(":")[0] for line in jobs] == [f"job {number}" for number in range(105, 115)]
    assert len((tmp_path / "runs" / "slurm" / "jobs.jsonl").read_text().splitlines()) == 14
    assert json.loads((tmp_path / "runs" / "slurm" / "jobs.jsonl").read_text().splitlines()[0])["job"] == "101"


# Complains of the first of these that it finds, as SLURM does: of one thing at a time, without the option's name.
PICKY = """\
#!/bin/bash
echo "$1" >> "$CALLS/asked"
script=$(cat)
refuse() { echo "sbatch: error: $1" >&2; echo "allocation failure: $1" >&2; exit 1; }
[[ -z $SBATCH_ACCOUNT ]] || refuse "Invalid account"
[[ $script != *$'\\n#SBATCH --partition=nowhere'* ]] || refuse "Invalid partition"
[[ $script != *$'\\n#SBATCH --cpus-per-task=8'* ]] || refuse "Requested node configuration is not available"
echo 5
"""


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        (
            ["--qos", "long"],
            {},
            "SLURM refuses the script's line #SBATCH --cpus-per-task=8: Requested node configuration is not available",
        ),
        (["--partition", "nowhere", "--nodes", "1"], {}, "SLURM refuses --partition=nowhere: Invalid partition"),
        (
            ["--partition", "nowhere", "--cpus-per-task", "1", "--time", "30"],
            {},
            "SLURM refuses --partition=nowhere: Invalid partition",
        ),
        (
            ["--time", "30"],
            {"SBATCH_ACCOUNT": "old"},
            "SLURM refuses SBATCH_ACCOUNT=old of the environment: Invalid account",
        ),
    ],
)
def test_a_refusal_names_the_option_that_caused_it(ddb, fake, monkeypatch, arguments, variables, told):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    fake.write("sbatch", PICKY)
    done = ddb("submit", CONFIG, *arguments)
    assert done.code == 2 and _line(done.err) == told
    asked = (fake.calls / "asked").read_text().split()
    assert set(asked) == {"--test-only"} and len(asked) < 10


def test_a_controller_that_is_down_is_asked_once(ddb, fake):
    say = "allocation failure: Unable to contact slurm controller (connect failure)"
    fake.write("sbatch", f'#!/bin/bash\necho "$1" >> "$CALLS/asked"\necho "{say}" >&2\nexit 1\n')
    done = ddb("submit", CONFIG, "--nodes", "2")
    assert _line(done.err) == "SLURM refuses --nodes=2: Unable to contact slurm controller (connect failure)"
    assert (fake.calls / "asked").read_text().split() == ["--test-only"]
