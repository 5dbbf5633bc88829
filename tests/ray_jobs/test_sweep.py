"""A search on a Ray of its own, whose driver is killed in the middle: what was tried stays, and the choice is made."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import TrialState

from ddb.artifacts import Store
from ddb.config_file import load
from ddb.experiment import plan
from ddb.sweep import INTERRUPTED, load_sweep, open_study
from tests.ray_jobs.conftest import SMALL

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
TRIALS = 6
SWEEP = {
    "methods": {"ddb_two_step": {"steps": 8, "evaluate_every": 8}},
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


def numbers(folder, search):
    """Number -> (state, point) of the trials in the journal, as another process sees them."""
    study, _ = open_study(folder, search)
    return {t.number: (t.state, t.params) for t in study.get_trials() if INTERRUPTED not in t.user_attrs}


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
def killed_and_continued(tmp_path_factory):
    """The sweep's file and folder, the trials that were over when the driver was killed, the second run's output."""
    folder = tmp_path_factory.mktemp("sweep")
    path, store = folder / "sweep.yaml", folder / "runs"
    path.write_text(yaml.safe_dump(SMALL | SWEEP, sort_keys=False))
    command = [sys.executable, "-m", "ray_jobs.sweep", str(path), "--store", str(store)]
    search = load_sweep(path)
    journal = store / "sweeps" / search.key / "journal.log"
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while over(journal) < 2:
            assert first.poll() is None
            time.sleep(0.1)
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    before = numbers(journal.parent, search)
    second = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert second.returncode == 0, second.stderr[-3000:]
    return path, journal.parent, before, second.stdout


def test_no_ended_trial_is_lost_or_tried_again(killed_and_continued):
    path, folder, before, _ = killed_and_continued
    after = numbers(folder, load_sweep(path))
    over = {number: trial for number, trial in before.items() if trial[0].is_finished()}
    assert len(over) >= 2 and all(after[number] == trial for number, trial in over.items())
    assert len(after) == TRIALS and all(state.is_finished() for state, _ in after.values())
    queued = [trial[1] for number, trial in before.items() if number not in over and trial[1]]
    assert all(sum(point == params for _, params in after.values()) == 1 for point in queued)


def test_trials_share_cdpm_and_images(killed_and_continued):
    store = killed_and_continued[1].parent.parent
    assert len(list((store / "cdpm").iterdir())) == 1
    assert len(list((store / "synthetic").iterdir())) <= 2  # one per guidance


def test_the_choice_is_a_configuration_whose_results_are_there(killed_and_continued):
    path, folder, _, printed = killed_and_continued
    store, found = Store(folder.parent.parent), json.loads((folder / "sweep.json").read_text())
    graph = plan(load(folder / "best.yaml"))
    assert all(store.has(stage) for stage in graph.stages())
    outcomes = {each["name"]: each for each in found["outcomes"]}
    objective = "val_pseudo_worst_group"
    assert outcomes["chosen"]["validation"][objective] >= outcomes["default"]["validation"][objective]
    assert outcomes["oracle"]["validation"]["val_worst_group"] >= outcomes["chosen"]["validation"]["val_worst_group"]
    metrics = json.loads((store.path(graph.cells[0].stage) / "metrics.json").read_text())
    assert outcomes["chosen"]["test"]["average_accuracy"] == pytest.approx(metrics["average_accuracy"])
    assert len(found["trials"]) == TRIALS and "default" in printed and "oracle" in printed
    states = {trial.state for trial in open_study(folder, load_sweep(path))[0].get_trials()}
    assert TrialState.COMPLETE in states


def test_the_same_command_again_computes_nothing(killed_and_continued):
    path, folder, *_ = killed_and_continued
    command = [sys.executable, "-m", "ray_jobs.sweep", str(path), "--store", str(folder.parent.parent)]
    before = begun(folder / "journal.log")
    again = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert again.returncode == 0 and f"{TRIALS} of {TRIALS} trials are over" in again.stdout
    assert begun(folder / "journal.log") == before
