"""A search on a Ray of its own, whose driver is killed in the middle: what was tried stays, and the choice is made."""

import json
import subprocess
import sys
import time

import optuna
import pytest
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import TrialState
from typer.testing import CliRunner

from ddb.experiment.config_file import load
from ddb.experiment.graph import build_graph
from ddb.experiment.sweep import AGAIN, INTERRUPTED, STUDY, load_sweep
from ddb.store import Store
from ray_jobs.cli import app
from ray_jobs.sweep import judge_stages, main
from tests.ray_jobs.conftest import SMALL, lend

pytestmark = pytest.mark.cluster
TRIALS = 5  # 2 that are over when the driver is killed, 2 that it interrupts at the most, and a new point
SWEEP = {
    "methods": {"ddb_two_step": {"steps": 8, "evaluate_every": 8}},
    "resources": SMALL["resources"] | {"sampling_actors": 1},  # two would take longer to start than to draw 30 images
    "sweep": {
        "trials": TRIALS,
        "rungs": [0.5, 1],
        "space": {
            "sampling.guidance": {"choices": [0, 1]},
            "sampling.images_per_class": {"choices": [2, 3]},
            "methods.ddb_two_step.gamma": {"uniform": [0, 3]},
        },
    },
}


def trials(folder):
    """The trials in the journal as they stand."""
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return optuna.load_study(study_name=STUDY, storage=storage).get_trials()


def entries(journal):
    """What Optuna has written; the last line may be half there."""
    lines = journal.read_text().splitlines() if journal.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def over(journal):
    """Trials that were told to be over, by the state that was set."""
    over = (TrialState.COMPLETE.value, TrialState.PRUNED.value)
    return sum(entry["op_code"] == JournalOperation.SET_TRIAL_STATE_VALUES and entry["state"] in over
               for entry in entries(journal))  # fmt: skip


def begun(journal):
    return sum(entry["op_code"] == JournalOperation.CREATE_TRIAL for entry in entries(journal))


@pytest.fixture(scope="module")
def killed_and_continued(tmp_path_factory, finished):
    """The sweep's file and folder, the trials that were over when the driver was killed, the second run's output.

    The CDPM and the default's images come from elsewhere: the store does not tell who computed what is in it.
    """
    folder = tmp_path_factory.mktemp("sweep")
    path, store = folder / "sweep.yaml", lend(finished, folder / "runs").root
    path.write_text(yaml.safe_dump(SMALL | SWEEP, sort_keys=False))
    command = [sys.executable, "-m", "ray_jobs.sweep", str(path), "--store", str(store)]
    search = load_sweep(path)
    journal = store / "sweeps" / search.key / "journal.log"
    with open(folder / "first.log", "w") as log:
        first = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        while over(journal) < 2:
            assert first.poll() is None, (folder / "first.log").read_text()[-3000:]
            time.sleep(0.1)
    finally:
        first.kill()
        first.wait()
    before = trials(journal.parent)
    second = subprocess.run(command, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr[-3000:]
    return path, journal.parent, before, second.stdout


def test_no_ended_trial_is_lost_and_no_point_tried_twice(killed_and_continued):
    _, folder, before, _ = killed_and_continued
    after = trials(folder)
    for trial in before:
        if trial.state.is_finished():
            assert (after[trial.number].state, after[trial.number].params) == (trial.state, trial.params)
        elif trial.state == TrialState.RUNNING:
            point = trial.system_attrs.get("fixed_params", {}) | trial.params
            again = [other for other in after if other.user_attrs.get(AGAIN) == trial.number]
            assert len(again) == 1 and point.items() <= again[0].params.items()
    valid = [trial for trial in after if INTERRUPTED not in trial.user_attrs]
    assert len(valid) == TRIALS and all(trial.state.is_finished() for trial in valid)
    gammas = [trial.params["methods.ddb_two_step.gamma"] for trial in valid]
    assert len(set(gammas)) == TRIALS  # drawn from an interval: the same number twice would be the same point twice


def test_every_trial_is_judged_by_the_defaults_amplifier(killed_and_continued):
    search = load_sweep(killed_and_continued[0])
    judges = judge_stages(search)
    points = (search.default | {"sampling.guidance": 0}, search.default)
    (own,), (default,) = (build_graph(search.experiment(point)).cells for point in points)
    judge = judges[own.seed]
    assert judge.key == default.classifier.inputs["amplifier"].key != own.classifier.inputs["amplifier"].key


def test_trials_share_cdpm_and_images(killed_and_continued):
    store = killed_and_continued[1].parent.parent
    assert len(list((store / "cdpm").iterdir())) == 1
    assert len(list((store / "synthetic").iterdir())) <= 2  # one per guidance


def test_the_choice_is_a_configuration_whose_results_are_there(killed_and_continued):
    _, folder, _, printed = killed_and_continued
    store, found = Store(folder.parent.parent), json.loads((folder / "sweep.json").read_text())
    graph = build_graph(load(folder / "best.yaml"))
    assert all(store.has(stage) for stage in graph.stages())
    outcomes = {each["name"]: each for each in found["outcomes"]}
    objective = "val_pseudo_worst_group"
    assert outcomes["chosen"]["validation"][objective] >= outcomes["default"]["validation"][objective]
    assert outcomes["oracle"]["validation"]["val_worst_group"] >= outcomes["chosen"]["validation"]["val_worst_group"]
    metrics = json.loads((store.path(graph.cells[0].stage) / "metrics.json").read_text())
    assert outcomes["chosen"]["test"]["average_accuracy"] == pytest.approx(metrics["average_accuracy"])
    for trial in found["trials"]:
        assert trial["value"] is not None if trial["state"] == "whole" else trial["rungs"]
    assert len(found["trials"]) == TRIALS and "default" in printed and "oracle" in printed
    assert any(trial.state == TrialState.COMPLETE for trial in trials(folder))


def test_the_same_command_again_computes_nothing(killed_and_continued, monkeypatch, capsys):
    """In this process, where the session's Ray runs: starting another one would be an error."""
    path, folder, *_ = killed_and_continued
    monkeypatch.setattr(sys, "argv", ["sweep", str(path), "--store", str(folder.parent.parent)])
    before = begun(folder / "journal.log")
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0 and f"{TRIALS} of {TRIALS} trials are over" in capsys.readouterr().out
    assert begun(folder / "journal.log") == before


@pytest.mark.parametrize("command", ["status", "table", "ls"])
def test_the_state_of_a_search_is_told_from_another_shell(killed_and_continued, command):
    """After a kill and a second run: one of each, and nothing that is still under way."""
    path, folder, *_ = killed_and_continued
    arguments = [command, *([str(path)] if command != "ls" else []), "--store", str(folder.parent.parent)]
    said = CliRunner().invoke(app, arguments).output
    if command == "ls":
        assert f"| {path.stem} | finished |" in said
    else:
        over = "finished" if command == "status" else "over"
        assert f"{TRIALS} of {TRIALS} trials are {over}" in said
        assert ("the last run" in said and "best val_pseudo_worst_group so far: " in said) == (command == "status")
        assert ("| oracle |" in said and "whole |" in said) == (command == "table")
