"""`ddb submit`, and its jobs in `ddb status`. Scripts that record their input take the place of SLURM's programs."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ddb.store.record import git_state
from ray_jobs import cli
from slurm import queue

CONFIG = "configs/colored_digits.yaml"
SBATCH = """\
#!/bin/bash
number=$(find "$CALLS" -name '*.args' | wc -l)
printf '%s\\n' "$@" > "$CALLS/$number.args"
env > "$CALLS/$number.env"
ls -d "$LOGS" > /dev/null && echo "$((101 + number));cluster"  # SLURM makes no folder for a log
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
    write("scontrol", "#!/bin/bash\nexit 1\n")
    monkeypatch.setenv("DDB_SBATCH", "/dev/null")
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
    assert len(error.strip().splitlines()) == 1 and error.startswith("error: ")
    return error.strip().removeprefix("error: ")


def _jobs(ddb):
    """The lines of `ddb status` about jobs."""
    return [line for line in ddb("status", CONFIG, "seeds=[0]").out.splitlines() if line.startswith("job ")]


def test_a_dry_run_prints_the_command_and_needs_no_slurm_which_a_submission_does(ddb, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    site = tmp_path / "sbatch"
    site.write_text("--account=vision  # of every job\n--constraint='a100 & nvlink'\n")
    monkeypatch.setenv("DDB_SBATCH", str(site))
    named = ["--nodes", "2", "--cpus-per-task", "4", "--time", "30"]
    done = ddb("submit", CONFIG, "seeds=[0]", *named, "--dry-run", "--", "--partition", "gpu")
    assert done.code == 0
    root, store = Path.cwd(), tmp_path / "runs"
    assert shlex.split(done.out) == [
        *("sbatch", "--parsable", f"--output={store}/slurm/%j.log", "--account=vision", "--constraint=a100 & nvlink"),
        *("--nodes=2", "--cpus-per-task=4", "--time=30", "--partition", "gpu", f"{root}/slurm/ddb.sbatch"),
        *(f"DDB_PYTHON={sys.executable}", f"DDB_STORE={store}", "run", CONFIG, "seeds=[0]"),
    ]
    assert not store.exists()
    folder, *memory = done.err.splitlines()
    assert folder == f"sbatch needs the folder of the log: mkdir -p {store}/slurm"
    assert memory and all(line.startswith("memory: about ") for line in memory)
    assert all(what in done.err for what in ("each cdpm", "each synthetic", "each classifier", "Ray's head"))
    monkeypatch.setenv("DDB_SBATCH", "/dev/null")
    done = ddb("submit", CONFIG)
    assert done.code == 2 and _line(done.err).startswith("sbatch is not on PATH")


def test_a_search_is_submitted_with_its_own_command(ddb, fake):
    file = "configs/sweeps/colored_digits.yaml"
    assert "0 of 20 trials are finished" in ddb("status", file).out
    done = ddb("submit", file, "sweep.trials=7")
    assert fake.read("args")[0].splitlines()[-3:] == ["sweep", file, "sweep.trials=7"]
    assert f"state: ddb status {file} sweep.trials=7 --store " in done.out
    fake.write("squeue", FORGOTTEN)
    assert "\njob 101: purged by SLURM; its log " in ddb("status", file).out


def test_a_submitted_job_is_printed_and_noted(ddb, fake, tmp_path):
    done = ddb("submit", CONFIG, "seeds=[0]", "--nodes", "2")
    log = tmp_path / "runs" / "slurm" / "101.log"
    assert done.code == 0 and done.out.splitlines() == [
        f"job 101 is queued; its log: {log}",
        f"state: ddb status {CONFIG} 'seeds=[0]' --store {tmp_path}/runs",
        f"log: ddb logs 101 --follow --store {tmp_path}/runs",
        "look in: slurm/attach 101",
    ]
    entry = json.loads((log.parent / "101.json").read_text())
    assert entry.pop("submitted").startswith("20") and entry == {
        "job": "101",
        "command": ["run", CONFIG, "seeds=[0]"],
        "config": os.path.abspath(CONFIG),
        "log": str(log),
    }


def test_the_log_is_where_an_option_has_put_it(ddb, fake):
    fake.write("scontrol", "#!/bin/bash\necho 'JobId=101 StdOut=/logs/mine-%j.txt Power='\n")
    assert "its log: /logs/mine-101.txt" in ddb("submit", CONFIG, "--", "--output=/logs/mine-%j.txt").out


def test_a_job_runs_the_code_as_it_was_at_submission(ddb, fake, tmp_path):
    for _ in range(2):
        ddb("submit", CONFIG)
    (code,) = (tmp_path / "runs" / "slurm" / "code").iterdir()  # both have the same
    words = fake.read("args")[1].splitlines()
    assert f"{code}/slurm/ddb.sbatch" in words and f"DDB_CODE={code}" in words
    for path in ("ddb/store/record.py", "ray_jobs/cli/run.py", "slurm/ddb.sbatch", "ddb/configs/colored_digits.yaml"):
        assert (code / path).read_bytes() == Path(path).read_bytes()
    assert os.access(code / "slurm" / "attach", os.X_OK) and code.stat().st_mode & 0o777 == 0o700
    code.chmod(0o770)
    assert _line(ddb("submit", CONFIG).err) == f"{code}: must be a directory of this user with mode 0700"
    there = tmp_path / "elsewhere"
    (there / "ddb").mkdir(parents=True)
    (there / "ddb" / "__init__.py").write_text("raise SystemExit('not this one')")
    start = f"import json, sys; sys.path[0] = {str(code)!r}; from ddb.store import record; "
    script = start + "print(json.dumps(record.git_state()))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=there, check=True)
    assert json.loads(done.stdout) == (git_state() or {}) | {"snapshot": str(code)}


def test_a_refusal_is_the_message_of_sbatch_in_one_line(ddb, fake):
    said = "sbatch: error: invalid partition specified: x\\nsbatch: error: Batch job submission failed: Invalid name\\n"
    fake.write("sbatch", f"#!/bin/bash\nprintf '{said}' >&2; exit 1\n")
    done = ddb("submit", CONFIG, "--", "--partition=x")
    expected = "sbatch: invalid partition specified: x; Batch job submission failed: Invalid name"
    assert done.code == 2 and _line(done.err) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.yaml"], "configuration nowhere.yaml: No such file"),
        ([CONFIG, "cdpm.stepz=3"], "cdpm.stepz: unknown setting"),
        (["configs/sweeps/colored_digits.yaml", "sweep.trials=0"], "sweep.trials: "),
    ],
    ids=str,
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["", "dry"])
def test_a_mistake_is_one_line_and_nothing_is_submitted(ddb, fake, arguments, message, dry):
    done = ddb("submit", *dry, *arguments)
    assert done.code == 2 and done.out == "" and _line(done.err).startswith(message)
    assert fake.read("args") == []


def test_a_file_of_site_options_that_cannot_be_read_is_named(ddb, fake, tmp_path, monkeypatch):
    monkeypatch.setenv("DDB_SBATCH", str(tmp_path / "nowhere"))
    assert _line(ddb("submit", CONFIG).err) == f"DDB_SBATCH={tmp_path}/nowhere: No such file or directory"
    (tmp_path / "config" / "ddb").mkdir(parents=True)
    (tmp_path / "config" / "ddb" / "sbatch").write_text("--comment='a")
    monkeypatch.delenv("DDB_SBATCH")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert _line(ddb("submit", CONFIG).err) == f"{tmp_path}/config/ddb/sbatch: No closing quotation"
    assert fake.read("args") == []


def test_a_store_that_cannot_be_written_is_named_before_anything_is_queued(ddb, fake):
    done = ddb("submit", CONFIG, store="/dev/null")
    assert done.code == 2 and _line(done.err).startswith("store /dev/null cannot be used")
    assert fake.read("args") == []


def test_status_shows_the_state_of_each_job_in_the_queue(ddb, fake, tmp_path):
    for _ in range(3):
        assert ddb("submit", CONFIG).code == 0  # 101 to 103
    assert ddb("submit", "configs/ablations/sampler.yaml").code == 0
    lines = ["101 COMPLETED n1, 3:10:00 of 4:00:00", "102 PENDING (Dependency), 0:00 of 4:00:00"]
    fake.write("squeue", f"#!/bin/bash\necho \"$@\" > $CALLS/squeue; printf '%s\\n' '{lines[0]}' '{lines[1]}'\n")
    assert _jobs(ddb) == [
        *(f"job {line[:3]}: {line[4:]}" for line in lines),
        f"job 103: purged by SLURM; its log {tmp_path}/runs/slurm/103.log: No such file or directory",
    ]
    assert "--states=all" in (fake.calls / "squeue").read_text()
    assert (fake.calls / "squeue").read_text().rstrip().endswith("--jobs=101,102,103")


def test_a_queue_that_does_not_answer(fake, ddb, tmp_path):
    ddb("submit", CONFIG)
    fake.write("squeue", "#!/bin/bash\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2\nexit 1\n")
    states = queue.states(tmp_path / "runs", Path(CONFIG))
    assert states[0] == "squeue: Unable to contact slurm controller" and len(states) == 2


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("", "ends: "),
        ("[   2.1 s] head is up\n| erm | 70.7 |\n[  12.3 s] exit code 0\n\n", "ends: exit code 0"),
        ("[   0.1 s] job 101\nslurmstepd-n1: error: *** JOB 101 CANCELLED ***\n", "ends: JOB 101 CANCELLED"),
        ("/bin/python: No such file or directory\n", "ends: /bin/python: No such file or directory"),
    ],
    ids=["empty", "launcher", "killed", "other"],
)
def test_of_a_purged_job_status_shows_how_its_log_ends(ddb, fake, tmp_path, text, end):
    ddb("submit", CONFIG)
    fake.write("squeue", FORGOTTEN)
    (tmp_path / "runs" / "slurm" / "101.log").write_text(text)
    assert queue.states(tmp_path / "runs", Path(CONFIG)) == [f"job 101: purged by SLURM; its log {end}"]


def test_of_a_purged_job_status_shows_what_accounting_knows(ddb, fake, tmp_path):
    ddb("submit", CONFIG)
    (tmp_path / "runs" / "slurm" / "101.log").write_text("[ 9.0 s] exit code 3\n")
    fake.write("squeue", FORGOTTEN)
    facts = "FAILED, n[1-2], 00:10:00, 04:00:00, 3:0"
    for answer, expected in (
        ("echo 'Slurm accounting storage is disabled' >&2; exit 1", "purged by SLURM; its log ends: exit code 3"),
        ("exit 0", "purged by SLURM; its log ends: exit code 3"),  # it does not know the job
        (f"[ $1 = --jobs=101 ] && echo '{facts}'", facts),
    ):
        fake.write("sacct", f"#!/bin/bash\n{answer}\n")
        assert _jobs(ddb) == [f"job 101: {expected}"]
