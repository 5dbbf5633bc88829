"""`ddb submit`, and its jobs in `ddb status`, where SLURM's programs are small scripts that keep what they get."""

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ray_jobs import cli
from slurm import queue
from slurm.ended import by_log

CONFIG = "configs/colored_digits.yaml"
SBATCH = """\
#!/bin/bash
number=$(find "$CALLS" -name '*.args' | wc -l)
echo "$*" > "$CALLS/$number.args"
cat > "$CALLS/$number.script"
env > "$CALLS/$number.env"
case "$*" in
  *--test-only*) echo "sbatch: Job 7 to start at 2026-01-31T12:00:00 using 1 processors on n1 in partition gpu" >&2;;
  *) ls -d "$LOGS" > /dev/null && echo "$((100 + number));cluster";;  # SLURM makes no folder for a log
esac
"""
FORGOTTEN = "#!/bin/bash\necho 'slurm_load_jobs error: Invalid job id specified' >&2\nexit 1\n"


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Programs by name in front of PATH, and what sbatch was called with."""
    calls, programs = tmp_path / "calls", tmp_path / "programs"
    calls.mkdir()
    programs.mkdir()
    for name in [name for name in os.environ if name.startswith(("SBATCH_", "SLURM", "DDB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CALLS", str(calls))
    monkeypatch.setenv("LOGS", str(tmp_path / "runs" / "slurm"))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    def write(name, text):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    def read(kind):
        return [path.read_text() for path in sorted(calls.glob(f"*.{kind}"))]

    write("sbatch", SBATCH)
    write("scontrol", "#!/bin/bash\necho PartitionName=gpu MaxNodes=4 MaxTime=1-00:00:00 State=UP\n")
    return SimpleNamespace(write=write, read=read, calls=calls)


@pytest.fixture
def ddb(monkeypatch, capsys, tmp_path):
    """`ddb ARGUMENTS --store ...` as a command: exit code, output, error output."""

    def run(*arguments, store=tmp_path / "runs"):
        extra = ["--store", str(store)]
        cut = arguments.index("--") if "--" in arguments else len(arguments)
        monkeypatch.setattr(sys, "argv", ["ddb", *arguments[:cut], *extra, *arguments[cut:]])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code or 0, out=said.out, err=said.err)

    return run


def _line(error):
    """The one line of a refusal, however wide the terminal is."""
    assert len(error.strip().splitlines()) == 1
    return error.strip()


def _jobs(ddb):
    """The lines of `ddb status` about jobs."""
    return [line for line in ddb("status", CONFIG, "seeds=[0]").out.splitlines() if line.startswith("job ")]


def test_a_dry_run_prints_the_script_and_needs_no_slurm(ddb, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = ddb("submit", CONFIG, "seeds=[0]", "--nodes", "2", "--time", "30", "--dry-run", "--", "--dry-run")
    assert done.code == 0 and done.out.startswith("#!/usr/bin/env bash\n")
    lines = done.out.splitlines()
    expected = {"#SBATCH --nodes=2", "#SBATCH --time=30", f"#SBATCH --chdir={os.getcwd()}", "#SBATCH --requeue"}
    assert expected < set(lines)
    assert f"#SBATCH --output={tmp_path}/runs/slurm/%j.log" in lines and f"export DDB_STORE={tmp_path}/runs" in lines
    assert lines[-1].endswith(f" -m slurm.job run {CONFIG} 'seeds=[0]' --dry-run")
    assert not (tmp_path / "runs").exists()
    assert all(line.startswith("memory: about ") for line in done.err.splitlines())
    assert all(what in done.err for what in ("CDPM worker", "each CDPM", "each cell", "Ray's head"))


def test_a_search_is_submitted_with_its_own_command(ddb, fake):
    file = "configs/sweeps/colored_digits.yaml"
    assert ddb("status", file).out == f"no SLURM job is known of the search {file}\n"
    done = ddb("submit", file, "sweep.trials=7")
    assert fake.read("script")[1].rstrip().endswith(f"-m slurm.job sweep {file} sweep.trials=7")
    assert f"state: ddb status {file} sweep.trials=7 --store " in done.out
    fake.write("squeue", FORGOTTEN)
    assert ddb("status", file).out.startswith("job 101: forgotten by SLURM; its log ")


def test_without_slurm_a_submission_is_one_line(ddb, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = ddb("submit", CONFIG)
    assert done.code == 2 and _line(done.err).startswith("sbatch is not on PATH")


def test_a_submitted_job_is_told_and_noted(ddb, fake, tmp_path):
    done = ddb("submit", CONFIG, "seeds=[0]", "--nodes", "2")
    log = tmp_path / "runs" / "slurm" / "101.log"
    assert done.code == 0 and done.out.splitlines() == [
        f"job 101 is queued; its log: {log}",
        f"state: ddb status {CONFIG} 'seeds=[0]' --store {tmp_path}/runs",
        "look in: slurm/attach 101",
    ]
    assert fake.read("args") == ["--test-only\n", "--parsable\n"]
    tried, queued = fake.read("script")
    assert tried == queued and "#SBATCH --nodes=2\n" in queued
    [entry] = [json.loads(line) for line in (log.parent / "jobs.jsonl").read_text().splitlines()]
    assert entry.pop("time").startswith("20") and entry == {
        "job": "101",
        "command": ["run", CONFIG, "seeds=[0]"],
        "config": os.path.abspath(CONFIG),
        "overrides": ["seeds=[0]"],
        "log": str(log),
    }


def test_every_job_of_a_chain_waits_for_the_one_before(ddb, fake, tmp_path):
    dry = ddb("submit", CONFIG, "--chain", "3", "--dry-run").out
    assert "3 jobs in all" in dry and dry.rstrip().splitlines()[-1].startswith("# #SBATCH --dependency=afterany:")
    done = ddb("submit", CONFIG, "--chain", "3")
    scripts = [text.splitlines() for text in fake.read("script")]
    waits = [[line for line in script if "--dependency" in line] for script in scripts]
    assert waits == [[], [], ["#SBATCH --dependency=afterany:101"], ["#SBATCH --dependency=afterany:102"]]
    assert all("#SBATCH --no-requeue" in script for script in scripts)
    assert "job 103 is queued, to start after job 102; its log:" in done.out
    assert len((tmp_path / "runs" / "slurm" / "jobs.jsonl").read_text().splitlines()) == 3


def test_what_was_asked_for_beats_the_environment_and_only_that(ddb, fake, monkeypatch):
    monkeypatch.setenv("SBATCH_PARTITION", "old")
    monkeypatch.setenv("SBATCH_ACCOUNT", "mine")
    ddb("submit", CONFIG, "--partition", "new")
    for seen in fake.read("env"):
        assert "SBATCH_PARTITION" not in seen and "SBATCH_ACCOUNT=mine\n" in seen


def test_a_time_limit_above_that_of_the_partition_is_refused(ddb, fake, monkeypatch):
    done = ddb("submit", CONFIG, "--time", "1-00:01")
    assert done.code == 2 and _line(done.err) == "--time=1-00:01: partition gpu allows 1-00:00:00 at most"
    monkeypatch.setenv("SBATCH_TIMELIMIT", "2-0")
    assert _line(ddb("submit", CONFIG).err).startswith("--time=2-0: partition gpu")
    assert set(fake.read("args")) == {"--test-only\n"}
    assert ddb("submit", CONFIG, "--time", "2-0", "--qos", "long").code == 0  # the QOS may allow more
    assert ddb("submit", CONFIG, "--time", "2-0", "--partition", "gpu,long").code == 0  # SLURM takes the one that fits


def test_a_refusal_is_one_line_and_names_the_option_that_caused_it(ddb, fake):
    errors = "sbatch: error: invalid partition specified: x\\nallocation failure: Invalid partition name specified\\n"
    fake.write("sbatch", f"#!/bin/bash\n! grep '^#SBATCH --partition=x' || {{ printf '{errors}' >&2; exit 1; }}\n")
    done = ddb("submit", CONFIG, "--partition", "x", "--nodes", "1")
    expected = "SLURM refuses --partition=x: invalid partition specified: x; Invalid partition name specified"
    assert done.code == 2 and _line(done.err) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.yaml"], "configuration nowhere.yaml: No such file"),
        ([CONFIG, "cdpm.stepz=3"], "cdpm.stepz: unknown setting"),
        (["configs/sweeps/colored_digits.yaml", "sweep.trials=0"], "sweep.trials: "),
        ([CONFIG, "--time", "4h"], "--time: must be minutes"),
        ([CONFIG, "--time", "2:00"], "--time: 2:00 is 120 s, of which the last 120 s"),
        ([CONFIG, "--partition", "a\n#SBATCH --nodes=99"], "--partition: must be letters"),
        ([CONFIG, "--gpus-per-node", "4\n#SBATCH --nodes=99"], "--gpus-per-node: must be a number, or type"),
        ([CONFIG, "--chain", "0"], "--chain: must be at least 1"),
        ([CONFIG, "--script", "nowhere.sbatch"], "--script nowhere.sbatch: No such file"),
        ([CONFIG, "--script", CONFIG], '--script: has no line with "$@"'),
        ([CONFIG, "--", "--stepz=3"], "--stepz=3: is no option of `ddb run`"),
        ([CONFIG, "--", "--store", "there"], "--store: is no option of `ddb run` that a job can have; give it before"),
    ],
    ids=str,
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["", "dry"])
def test_a_mistake_is_one_line_and_nothing_is_submitted(ddb, fake, arguments, message, dry):
    done = ddb("submit", *dry, *arguments)
    assert done.code == 2 and done.out == "" and _line(done.err).startswith(message)
    assert fake.read("args") == []


def test_a_store_that_cannot_be_written_is_told_before_anything_is_queued(ddb, fake):
    done = ddb("submit", CONFIG, store="/dev/null")
    assert done.code == 2 and _line(done.err).startswith("store /dev/null cannot be used")
    assert fake.read("args") == ["--test-only\n"]


JOBS = {
    "101": "JobState=COMPLETED Restarts=1 ExitCode=0:0 RunTime=03:10:00 TimeLimit=04:00:00 NodeList=n1 StdOut={log}",
    "102": "JobState=RUNNING Restarts=0 ExitCode=0:0 RunTime=00:10:00 TimeLimit=04:00:00 NodeList=n1 StdOut={log}",
    "103": "JobState=PENDING Reason=Dependency Dependency=afterany:102(unfulfilled) Restarts=0 ExitCode=0:0 "
    "RunTime=00:00:00 TimeLimit=04:00:00 NodeList=(null) NumNodes=2-2 StdOut={log}",
    "104": "JobState=FAILED Dependency=(null) Restarts=2 ExitCode=3:0 RunTime=00:01:00 TimeLimit=04:00:00 "
    "NodeList=n[1-2] NumNodes=2 StdOut={unexpanded}",
    "105": "JobState=RUNNING ExitCode=0:0 RunTime=00:01:00 TimeLimit=1:00 NodeList=n1 StdOut=/home/other/105.log",
}


def test_status_shows_the_jobs_that_slurm_still_knows(ddb, fake, tmp_path):
    store = tmp_path / "runs"
    assert ddb("submit", CONFIG, "--chain", "5").code == 0  # 101 to 105
    assert ddb("submit", "configs/ablations/sampler.yaml").code == 0
    for job, text in JOBS.items():
        paths = {"log": store / "slurm" / f"{job}.log", "unexpanded": store / "slurm" / "%j.log"}
        (fake.calls / job).write_text(f"JobId={job} JobName=ddb {text.format(**paths)} Power=")
    fake.write("scontrol", '#!/bin/bash\ncat "$CALLS/$3"\n')
    fake.write("squeue", f'#!/bin/bash\necho "$@" >> "$CALLS/squeue"\nprintf "%s\\n" {" ".join(JOBS)} 110\n')
    assert _jobs(ddb) == [
        "job 101: COMPLETED on n1, 03:10:00 of 04:00:00, restarted 1 time",
        "job 102: RUNNING on n1, 00:10:00 of 04:00:00",
        "job 103: PENDING (Dependency afterany:102), 2 nodes, 00:00:00 of 04:00:00",
        "job 104: FAILED on n[1-2], 00:01:00 of 04:00:00, restarted 2 times, exit code 3",
        # The number 105 belongs to another job now.
        f"job 105: forgotten by SLURM; its log {store}/slurm/105.log: No such file or directory",
    ]
    assert (fake.calls / "squeue").read_text().rstrip().endswith("--jobs=101,102,103,104,105")


def test_a_queue_that_does_not_answer(fake, ddb, tmp_path):
    ddb("submit", CONFIG)
    fake.write("squeue", "#!/bin/bash\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2\nexit 1\n")
    assert queue.states(tmp_path / "runs", Path(CONFIG)) == ["SLURM's queue: Unable to contact slurm controller"]


def test_a_line_that_was_written_in_part_hides_no_other_job(ddb, fake, tmp_path):
    ddb("submit", CONFIG)
    with open(tmp_path / "runs" / "slurm" / "jobs.jsonl", "a") as file:
        file.write('{"job": "9", "comm')
    ddb("submit", CONFIG)
    assert [job["job"] for job in queue.noted(tmp_path / "runs", Path(CONFIG))] == ["101", "103"]


def test_without_accounting_status_shows_how_the_log_ends(tmp_path):
    log = tmp_path / "101.log"
    killed = "JOB 101 ON n1 CANCELLED AT 2026-01-31T12:00:00 DUE TO TIME LIMIT"
    for text, end in (
        ("", f"its log {log} is empty"),
        ("[   2.1 s] head is up\n| erm | 70.7 |\n[  12.3 s] exit code 0\n\n", "its log ends: exit code 0"),
        (f"[   0.1 s] job 101\nslurmstepd: error: *** {killed} ***\n", f"its log ends: {killed}"),
        ("/bin/python: No such file or directory\n", f"its log {log} ends: /bin/python: No such file or directory"),
    ):
        log.write_text(text)
        assert by_log({"log": str(log)}) == f"forgotten by SLURM; {end}"


def test_status_prefers_accounting_to_the_log(ddb, fake, tmp_path):
    ddb("submit", CONFIG)
    (tmp_path / "runs" / "slurm" / "101.log").write_text("[ 9.0 s] exit code 3\n")
    fake.write("squeue", FORGOTTEN)
    now = int(time.time())
    other = f"101|{now - 9_000_000}|COMPLETED|0:0|00:00:05|00:10:00|n7"  # another job with the same number
    starts = f"101|{now}|REQUEUED|0:0|03:00:00|04:00:00|n1\n101|{now + 11_000}|FAILED|3:0|00:10:00|04:00:00|n[1-2]"
    by_end_of_log = "forgotten by SLURM; its log ends: exit code 3"
    by_accounting = "FAILED on n[1-2], 00:10:00 of 04:00:00, restarted 1 time, exit code 3"
    for answer, expected in (
        ("echo 'Slurm accounting storage is disabled' >&2; exit 1", by_end_of_log),
        (f"echo '{other}'", by_end_of_log),
        (f'[ "$SLURM_TIME_FORMAT $1" = "%s --jobs=101" ] && echo "{other}\n{starts}"', by_accounting),
    ):
        fake.write("sacct", f"#!/bin/bash\n{answer}\n")
        assert _jobs(ddb) == [f"job 101: {expected}"]
