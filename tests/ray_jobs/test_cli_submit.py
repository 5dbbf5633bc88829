"""`ddb submit`, and its jobs in `ddb status`, where SLURM's programs are small scripts that keep what they get."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ray_jobs import cli
from slurm import queue

CONFIG = "configs/colored_digits.yaml"
SBATCH = """\
#!/bin/bash
number=$(find "$CALLS" -name '*.args' | wc -l)
echo "$*" > "$CALLS/$number.args"
cat > "$CALLS/$number.script"
env > "$CALLS/$number.env"
[ "$number" != "$FAILS_AT" ] || { echo "sbatch: error: Batch job submission failed: Too many jobs" >&2; exit 1; }
case "$*" in
  *--test-only*) echo "sbatch: Job 7 to start at 2026-01-31T12:00:00 using 1 processors on n1 in partition gpu" >&2;;
  *) echo "$((100 + number));cluster";;
esac
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Programs by name in front of PATH, and what sbatch was called with."""
    calls, programs = tmp_path / "calls", tmp_path / "programs"
    calls.mkdir()
    programs.mkdir()
    for name in [name for name in os.environ if name.startswith(("SBATCH_", "SLURM", "DDB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CALLS", str(calls))
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


def test_a_dry_run_prints_the_script_and_needs_no_slurm(ddb, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = ddb("submit", CONFIG, "seeds=[0]", "--nodes", "2", "--time", "30", "--dry-run", "--", "--dry-run")
    assert done.code == 0 and done.out.startswith("#!/usr/bin/env bash\n")
    lines = done.out.splitlines()
    for line in ("#SBATCH --nodes=2", "#SBATCH --time=30", f"#SBATCH --chdir={os.getcwd()}", "#SBATCH --requeue"):
        assert line in lines
    assert f"#SBATCH --output={tmp_path}/runs/slurm/%j.log" in lines and f"export DDB_STORE={tmp_path}/runs" in lines
    assert lines[-1].endswith(f" -m slurm.job run {CONFIG} 'seeds=[0]' --dry-run")
    assert not (tmp_path / "runs").exists()
    assert all(line.startswith("memory: about ") for line in done.err.splitlines())
    assert all(what in done.err for what in ("CDPM worker", "each CDPM", "each cell", "Ray's head"))


def test_a_dry_run_of_a_chain_says_how_its_jobs_differ(ddb):
    text = ddb("submit", CONFIG, "--chain", "3", "--dry-run").out
    assert "\n#SBATCH --no-requeue\n" in text
    assert "3 jobs in all" in text and text.rstrip().splitlines()[-1].startswith("# #SBATCH --dependency=afterany:")


def test_a_search_is_submitted_as_one(ddb, fake):
    file = "configs/sweeps/colored_digits.yaml"
    done = ddb("submit", file, "sweep.trials=7")
    assert fake.read("script")[1].rstrip().endswith(f"-m slurm.job sweep {file} sweep.trials=7")
    assert f"state: ddb status {file} sweep.trials=7 --store " in done.out
    fake.write("squeue", "#!/bin/bash\necho 'slurm_load_jobs error: Invalid job id specified' >&2\nexit 1\n")
    assert ddb("status", file).out.startswith("job 101: forgotten by SLURM; its log ")


def test_a_search_without_a_job_says_so(ddb):
    file = "configs/sweeps/colored_digits.yaml"
    assert ddb("status", file).out == f"no SLURM job is known of the search {file}\n"


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


def test_the_folder_of_the_log_is_there_before_the_job_is(ddb, fake, tmp_path):
    fake.write(
        "sbatch", f'#!/bin/bash\ncat > /dev/null\n[ "$1" = --test-only ] || ls -d {tmp_path}/runs/slurm && echo 5\n'
    )
    assert ddb("submit", CONFIG).code == 0


def test_every_job_of_a_chain_waits_for_the_one_before(ddb, fake, tmp_path):
    done = ddb("submit", CONFIG, "--chain", "3")
    waits = [[line for line in text.splitlines() if "--dependency" in line] for text in fake.read("script")]
    assert waits == [[], [], ["#SBATCH --dependency=afterany:101"], ["#SBATCH --dependency=afterany:102"]]
    assert "job 103 is queued, to start after job 102; its log:" in done.out
    assert len((tmp_path / "runs" / "slurm" / "jobs.jsonl").read_text().splitlines()) == 3


def test_a_chain_that_breaks_names_what_is_queued(ddb, fake, monkeypatch, tmp_path):
    monkeypatch.setenv("FAILS_AT", "3")
    done = ddb("submit", CONFIG, "--chain", "3", "--nodes", "2")
    assert done.code == 2
    expected = "SLURM refuses the job: Too many jobs; queued already: 101 102; to cancel: scancel 101 102"
    assert _line(done.err) == expected
    assert [job["job"] for job in queue.noted(tmp_path / "runs", Path(CONFIG))] == ["101", "102"]


def test_what_was_asked_for_beats_the_environment_and_only_that(ddb, fake, monkeypatch):
    monkeypatch.setenv("SBATCH_PARTITION", "old")
    monkeypatch.setenv("SBATCH_ACCOUNT", "mine")
    ddb("submit", CONFIG, "--partition", "new")
    for seen in fake.read("env"):
        assert "SBATCH_PARTITION" not in seen and "SBATCH_ACCOUNT=mine\n" in seen


@pytest.mark.parametrize(
    ("arguments", "variables", "refused"),
    [
        (["--time", "1-00:01"], {}, "--time=1-00:01: partition gpu allows 1-00:00:00 at most"),
        (["--time", "1-0"], {}, None),
        ([], {"SBATCH_TIMELIMIT": "2-0"}, "--time=2-0: partition gpu"),
        (["--time", "2-0", "--qos", "long"], {}, None),  # which may allow more
        (["--time", "2-0"], {"SBATCH_QOS": "long"}, None),
        (["--time", "2-0", "--partition", "gpu,long"], {}, None),  # SLURM takes the one that fits
    ],
)
def test_a_time_that_the_partition_never_grants(ddb, fake, monkeypatch, arguments, variables, refused):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = ddb("submit", CONFIG, *arguments)
    if refused is None:
        assert done.code == 0 and len(fake.read("args")) == 2
    else:
        assert done.code == 2 and _line(done.err).startswith(refused) and len(fake.read("args")) == 1


def test_a_complaint_is_one_line_without_its_noise(ddb, fake):
    said = "sbatch: error: invalid partition specified: x\\nallocation failure: Invalid partition name specified"
    fake.write("sbatch", f"#!/bin/bash\ncat > /dev/null\nprintf '{said}\\n' >&2\nexit 1\n")
    done = ddb("submit", CONFIG, "--partition", "x", "--nodes", "1")
    expected = "SLURM refuses --nodes=1 --partition=x: invalid partition specified: x; Invalid partition name specified"
    assert done.code == 2 and _line(done.err) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.yaml"], "configuration nowhere.yaml: No such file"),
        ([CONFIG, "cdpm.stepz=3"], "cdpm.stepz: unknown setting"),
        (["configs/sweeps/colored_digits.yaml", "sweep.trials=0"], "sweep.trials: "),
        ([CONFIG, "--nodes", "0"], "--nodes: must be at least 1"),
        ([CONFIG, "--gpus-per-node", "-1"], "--gpus-per-node: must be a number"),
        ([CONFIG, "--time", "4h"], "--time: must be minutes"),
        ([CONFIG, "--time", "2:00"], "--time: 2:00 is 120 s, of which the last 120 s"),
        ([CONFIG, "--partition", "a\n#SBATCH --nodes=99"], "--partition: must be letters"),
        ([CONFIG, "--script", "nowhere.sbatch"], "--script nowhere.sbatch: No such file"),
        ([CONFIG, "--script", CONFIG], '--script: has no line with "$@"'),
        ([CONFIG, "--", "--stepz=3"], "--stepz=3: is no option of `ddb run`"),
        ([CONFIG, "--", "--store", "there"], "--store: is no option of `ddb run` that a job can have; give it before"),
        ([CONFIG, "--", "--data", "there"], "--data: is no option"),
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
    "101": "JobState=COMPLETED Reason=None Dependency=(null) Restarts=1 ExitCode=0:0 RunTime=03:10:00 "
    "TimeLimit=04:00:00 NodeList=n[1-2] NumNodes=2 StdOut={log}",
    "102": "JobState=RUNNING Reason=None Dependency=(null) Restarts=0 ExitCode=0:0 RunTime=00:10:00 "
    "TimeLimit=04:00:00 NodeList=n1 NumNodes=1 StdOut={log}",
    "103": "JobState=PENDING Reason=Dependency Dependency=afterany:102(unfulfilled) Restarts=0 ExitCode=0:0 "
    "RunTime=00:00:00 TimeLimit=04:00:00 NodeList=(null) NumNodes=2-2 StdOut={log}",
    "104": "JobState=FAILED Reason=NonZeroExitCode Dependency=(null) Restarts=2 ExitCode=3:0 RunTime=00:01:00 "
    "TimeLimit=04:00:00 NodeList=n1 NumNodes=1 StdOut={unexpanded}",
    "105": "JobState=RUNNING ExitCode=0:0 RunTime=00:01:00 TimeLimit=1:00 NodeList=n1 StdOut=/home/other/105.log",
}


def test_status_shows_the_jobs_that_slurm_still_knows(ddb, fake, tmp_path):
    store = tmp_path / "runs"
    assert ddb("submit", CONFIG, "--chain", "7").code == 0  # 101 to 107; SLURM has forgotten 106 and 107
    assert ddb("submit", "configs/ablations/sampler.yaml").code == 0
    for job, text in JOBS.items():
        paths = {"log": store / "slurm" / f"{job}.log", "unexpanded": store / "slurm" / "%j.log"}
        (fake.calls / job).write_text(f"JobId={job} JobName=ddb {text.format(**paths)} Power=")
    fake.write("scontrol", '#!/bin/bash\ncat "$CALLS/$3"\n')
    fake.write("squeue", f'#!/bin/bash\necho "$@" >> "$CALLS/squeue"\nprintf "%s\\n" {" ".join(JOBS)} 110\n')
    jobs = [line for line in ddb("status", CONFIG, "seeds=[0]").out.splitlines() if line.startswith("job ")]
    forgotten = [f"job {job}: forgotten by SLURM; its log {store}/slurm/{job}.log: No such file or directory"
                 for job in (105, 106, 107)]  # fmt: skip
    assert jobs == [  # the number 105 is somebody else's now
        "job 101: COMPLETED on n[1-2], 03:10:00 of 04:00:00, restarted 1 time",
        "job 102: RUNNING on n1, 00:10:00 of 04:00:00",
        "job 103: PENDING (Dependency afterany:102), 2 nodes, 00:00:00 of 04:00:00",
        "job 104: FAILED on n1, 00:01:00 of 04:00:00, restarted 2 times, exit code 3",
        *forgotten,
    ]
    assert (fake.calls / "squeue").read_text().rstrip().endswith("--jobs=101,102,103,104,105,106,107")


def test_status_asks_slurm_only_where_a_job_was_noted(ddb, fake):
    fake.write("squeue", '#!/bin/bash\ntouch "$CALLS/asked"\n')
    plain = ddb("status", CONFIG, "seeds=[0]").out
    assert not (fake.calls / "asked").exists()
    ddb("submit", CONFIG)
    assert ddb("status", CONFIG, "seeds=[0]").out.endswith(plain) and (fake.calls / "asked").exists()


def test_a_queue_that_does_not_answer(fake, ddb, tmp_path):
    ddb("submit", CONFIG)
    fake.write("squeue", "#!/bin/bash\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2\nexit 1\n")
    assert queue.states(tmp_path / "runs", Path(CONFIG)) == ["SLURM's queue: Unable to contact slurm controller"]


def test_a_torn_line_of_the_list_hides_no_other_job(ddb, fake, tmp_path):
    ddb("submit", CONFIG)
    with open(tmp_path / "runs" / "slurm" / "jobs.jsonl", "a") as file:
        file.write('{"job": "9", "comm\n')
    ddb("submit", CONFIG)
    assert [job["job"] for job in queue.noted(tmp_path / "runs", Path(CONFIG))] == ["101", "103"]
