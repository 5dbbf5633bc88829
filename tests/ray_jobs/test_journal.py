"""What a run leaves about itself, and what `ddb ls`, `ddb logs` and `ddb status` tell of it from another process."""

import contextlib
import json
import os
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from ddb.errors import DDBError, Interrupted
from ddb.experiment.event import Event
from ddb.progress import reporter
from ddb.stages.needs import Capacity
from ddb.store import Store
from ray_jobs import job, journal
from ray_jobs.cli import app
from ray_jobs.console import StageView
from ray_jobs.journal import Journal, identity, runs
from ray_jobs.runner import Outcome
from tests.ray_jobs.conftest import SMALL, small_graph

LAST = ("classifier", "evaluation")


def ddb(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_how_a_run_ended_is_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ddb", "run", "mine.yaml", "seeds=[0, 1]"])
    endings = {"finished": None, "interrupted": Interrupted("asked"), "failed": DDBError("no space left")}
    for state, error in endings.items():
        try:
            with Journal(Store(tmp_path), state, "id") as kept:
                kept.tell("begun")
                if error:
                    raise error
        except DDBError:
            pass
    found = {run.noted["name"]: run for run in runs(Store(tmp_path))}
    assert {name: run.state for name, run in found.items()} == {state: state for state in endings}
    assert found["failed"].noted["command"] == f"ddb run mine.yaml 'seeds=[0, 1]' --store {tmp_path}"
    assert [line[20:] for line in found["failed"].log.read_text().splitlines()] == ["begun", "no space left"]


KILLED = """
import os, signal, sys
from ddb.store import Store
from ray_jobs.journal import Journal
with Journal(Store(sys.argv[1]), "mine", "id") as kept:
    kept.note(total=19, done=3, seconds_left=90)
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_a_run_is_seen_while_it_runs_and_a_kill_is_noticed(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    row = [cell.strip() for cell in ddb("ls", "--store", tmp_path).output.splitlines()[-1].split("|")]
    assert row[1:4] == ["mine", "running", "3/19 stages"] and row[5] == "1 min 30 s"
    process.kill()
    process.wait()
    assert "| mine | killed | 3/19 stages |" in ddb("ls", "--store", tmp_path).output


def test_a_run_on_another_machine_is_over_when_it_gives_no_sign_of_life(tmp_path, monkeypatch):
    with Journal(Store(tmp_path), "mine", "id"):
        monkeypatch.setattr(journal.machine, "identity", lambda: "another")
        (run,) = runs(Store(tmp_path))
        assert run.state == "running"
        before = time.time() - journal.SILENCE - 1
        os.utime(run.file, (before, before))
        assert runs(Store(tmp_path))[0].state == "killed"


def test_logs_prints_the_newest_run_or_that_of_a_configuration(tmp_path):
    for name in ("first", "second"):
        with Journal(Store(tmp_path), name, name) as kept:
            kept.tell(f"of the {name}")
            time.sleep(1.1)  # runs are told apart by seconds
    assert "of the second" in ddb("logs", "--store", tmp_path).output
    assert "of the first" in ddb("logs", "configs/first.yaml", "--store", tmp_path).output
    wrong = ddb("logs", "secnd", "--store", tmp_path)
    assert isinstance(wrong.exception, DDBError) and "did you mean 'second'?" in str(wrong.exception)


def test_logs_follows_a_run_to_its_end(tmp_path):
    program = KILLED.replace('print("ready", flush=True)', 'print("ready", flush=True); kept.tell("early")').replace(
        "sys.stdin.readline()", 'sys.stdin.readline(); kept.tell("late")'
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    run = subprocess.Popen([sys.executable, "-c", program, tmp_path], **pipes)
    assert run.stdout.readline() == b"ready\n"
    command = [sys.executable, "-m", "ray_jobs.cli", "logs", "--follow", "--store", tmp_path]
    follower = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert follower.stdout.readline().endswith(" early\n")
    run.communicate(b"\n")
    assert [line[20:] for line in follower.communicate()[0].splitlines()] == ["late"] and follower.returncode == 0


def test_status_tells_states_progress_and_the_run(tmp_path):
    """Of an experiment of which one stage is done, one runs here, one has failed, and what needs it is blocked."""
    (tmp_path / "small.json").write_text(json.dumps(SMALL | {"methods": {"erm": {}, "ddb_two_step": {}}}))
    graph, store = small_graph(methods={"erm": {}, "ddb_two_step": {}}), Store(tmp_path / "runs")
    stages = {(each.name, each.config.get("method")): each for each in graph.stages()}
    data, cdpm, erm = stages["data", None], stages["cdpm", None], stages["classifier", "erm"]
    with store.produce(data) as work:
        (work.result / "file").touch()
    store.fail(erm, "Traceback\nValueError: no such thing")
    arguments = ["status", tmp_path / "small.json", "--store", store.root]
    with Journal(store, "small", identity(graph.stages())) as kept, store.produce(cdpm) as work:
        kept.note(seconds_left=125)
        retried = ddb(*arguments).output  # the failure is older than the run, which will try again
        store.fail(erm, "Traceback\nValueError: no such thing")
        reporter(work.root)(50, 200, {"loss": 0.25})
        said = ddb(*arguments).output
        known = json.loads(ddb(*arguments, "--json").output)
        (work.result / "file").touch()
    total = len(graph.stages())
    assert f"1 of {total} stages are done, 1 running\n" in retried
    assert f"1 of {total} stages are done, 1 running, 1 failed, 1 blocked" in said
    assert "running: cdpm seed 3: 50/200, loss 0.250" in said
    assert "failed: classifier erm seed 3: ValueError: no such thing" in said
    assert "about 2 min 05 s left for all; run by " in said
    assert known["total"] == total and known["left"] == total - 3 and known["run"]["state"] == "running"
    assert known["kinds"]["cdpm"]["running"] == 1 and known["states"]["to do"] == total - 4
    assert f"2 of {total} stages are done" in ddb(*arguments).output


def test_a_silent_holder_on_another_machine_does_not_count_as_running(tmp_path, monkeypatch):
    graph, store = small_graph(methods={"erm": {}}), Store(tmp_path / "runs")
    (tmp_path / "small.json").write_text(json.dumps(SMALL | {"methods": {"erm": {}}}))
    arguments = ["status", tmp_path / "small.json", "--store", store.root]
    claim = store.claim(graph.stages()[0])
    assert claim.take()
    monkeypatch.setattr("ddb.store.claim.machine.identity", lambda: "another")
    assert "1 running" in ddb(*arguments).output
    before = time.time() - 1000
    os.utime(claim.workspace / "holder.json", (before, before))
    assert "1 interrupted" in ddb(*arguments).output
    claim.remove()


def test_watch_ends_when_nothing_is_left(tmp_path, monkeypatch):
    graph, store = small_graph(methods={"erm": {}}), Store(tmp_path / "runs")
    (tmp_path / "small.json").write_text(json.dumps(SMALL | {"methods": {"erm": {}}}))
    missing = iter(graph.stages())

    def compute_one(seconds):
        with store.produce(next(missing)) as work:
            (work.result / "file").touch()

    monkeypatch.setattr("ray_jobs.cli.status.time.sleep", compute_one)
    said = ddb("status", tmp_path / "small.json", "--watch", "--store", store.root).output
    told = [line.split(": ")[1] for line in said.splitlines() if "stages are done" in line]
    assert told == [f"{done} of 3 stages are done" for done in range(4)]


@pytest.mark.parametrize(("option", "key"), [((), False), (("-v",), True)])
def test_lines_have_no_keys_unless_asked_and_nothing_is_printed_with_q(tmp_path, capsys, option, key):
    graph, store = small_graph(methods={"erm": {}}), Store(tmp_path / "runs")
    stage = graph.stages()[0]
    ddb("ls", *option, "--store", store.root)  # sets what the next lines contain
    with Journal(store, "small", "id") as kept, StageView(graph, 3, kept, lambda: {stage.key: 60.0}) as view:
        view.notify(Event("started", stage))
        view.notify(Event("finished", stage, 61.0))
    said = capsys.readouterr().err
    assert "[0/3] data colored_digits: started" in said and "[1/3] data colored_digits: 1 min 01 s" in said
    assert "about 1 min 00 s left for all stages" in said and (stage.key in said) == key
    ddb("ls", "-q", "--store", store.root)
    with Journal(store, "small", "id") as kept:
        kept.tell("heard by nobody, and kept")
    assert "nobody" not in capsys.readouterr().err and "nobody" in kept.log.read_text()
    ddb("ls", "--store", store.root)


def test_a_failure_is_told_once_without_keys_and_what_needs_it_is_counted(tmp_path, monkeypatch, capsys):
    graph, store = small_graph(methods={"erm": {}}), Store(tmp_path)
    classifier, evaluation = (next(each for each in graph.stages() if each.name == name) for name in LAST)

    def run_graph(graph, store, capacity, notify, only):
        store.fail(classifier, "Traceback\nValueError: no such thing")
        failed = {classifier.key: (classifier, "Traceback\nValueError: no such thing")}
        return Outcome(failed=failed | {evaluation.key: (evaluation, "needs it")}, blocked={evaluation.key})

    monkeypatch.setattr(job, "connected", lambda: contextlib.nullcontext(Capacity(((2, 0),))))
    monkeypatch.setattr("ray_jobs.runner.run_graph", run_graph)
    monkeypatch.setattr("ray_jobs.runner.probe_on_ray", lambda graph, stages, capacity: None)
    assert job.execute(graph, store, "small") == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].endswith(f"0 in the store {tmp_path}; to compute: 1 data, 1 classifier, 1 evaluation")
    assert said[2] == "on 2 CPUs and no GPU"
    whole = store.failure_path(classifier)
    assert said[3] == f"failed: classifier erm seed 3: ValueError: no such thing (whole text: {whole})"
    assert said[4] == "not computed, since they need what failed: 1 stages"
    assert said[5].startswith("ended after ") and said[5].endswith(": 1 stages computed, 2 not")
    (run,) = runs(store)
    assert run.state == "failed" and run.noted["failed"] == 2


def test_a_run_under_way_comes_before_a_later_one_that_has_ended_and_damage_is_no_run(tmp_path):
    store = Store(tmp_path)
    with Journal(store, "mine", "id") as kept:
        (kept.log.parent / "cut.json").write_text('{"name": "cu')
        (kept.log.parent / "other.json").write_text("[]")
        with Journal(store, "later", "id"):
            pass
        assert [(run.noted["name"], run.state) for run in runs(store)] == [("mine", "running"), ("later", "finished")]
    (kept.log.parent / f"{kept.log.stem}.new").write_text("{")  # of a process that was killed while it wrote
    assert len(runs(store)) == 2


def test_a_name_with_a_dot_is_found_as_ls_prints_it(tmp_path):
    with Journal(Store(tmp_path), "w0.5", "id") as kept:
        kept.tell("of half a point")
    for name in ("w0.5", "configs/w0.5.yaml"):
        assert "of half a point" in ddb("logs", name, "--store", tmp_path).output


def test_watch_ends_with_the_run_though_stages_are_left(tmp_path, monkeypatch):
    graph, store = small_graph(methods={"erm": {}}), Store(tmp_path / "runs")
    (tmp_path / "small.json").write_text(json.dumps(SMALL | {"methods": {"erm": {}}}))
    kept = Journal(store, "small", identity(graph.stages()))
    kept.__enter__()
    monkeypatch.setattr("ray_jobs.cli.status.time.sleep", lambda seconds: kept.__exit__(None, None, None))
    said = ddb("status", tmp_path / "small.json", "--watch", "--store", store.root).output
    assert "the last run (" in said and "0 of 3 stages are done" in said
