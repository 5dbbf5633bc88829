"""Sweeps without Ray: the space and what is refused of it, trials as experiments, a study that a kill left behind."""

import numpy as np
import pytest
from optuna.trial import TrialState
from PIL import Image

from ddb.errors import DDBError
from ddb.experiment.config import methods
from ddb.experiment.graph import build_graph
from ddb.experiment.sweep import AGAIN, INTERRUPTED, Dimension, Sweep, ended, load_sweep, open_study

SPACE = {
    "sampling.guidance": {"choices": [0, 1, 3]},
    "sampling.images_per_class": {"choices": [20, 100]},
    "methods.ddb_two_step.gamma": {"uniform": [0, 3]},
}
VALUES = {"methods": {"ddb_two_step": {}}, "memorisation": False, "sweep": {"space": SPACE}}


def sweep(path="here.yaml", overrides=(), **changes):
    return Sweep(VALUES | {"sweep": VALUES["sweep"] | changes}, list(overrides), path)


def distributions(search):
    return {name: dimension.distribution() for name, dimension in search.space.items()}


def test_the_default_point_is_read_from_the_configuration_and_is_always_a_choice():
    found = sweep(overrides=["methods.ddb_two_step.gamma=2", "sweep.trials=7"])
    assert found.default == dict(zip(SPACE, (1.0, 100, 2.0), strict=True))
    assert found.settings.trials == 7
    found = sweep(overrides=["sampling.guidance=7"])
    assert found.space["sampling.guidance"].choices == (0, 1, 3, 7) and found.default["sampling.guidance"] == 7


def test_trials_share_the_cdpm_and_the_images_of_their_guidance():
    search = sweep()
    point = search.default | {"sampling.images_per_class": 20, "methods.ddb_two_step.gamma": 0.5}
    few, many = (
        build_graph(search.experiment(each)).cells[0].classifier.inputs["amplifier"] for each in (point, search.default)
    )
    assert few.inputs["synthetic"].key == many.inputs["synthetic"].key
    assert few.inputs["synthetic"].config["sampling"]["images_per_class"] == 100
    assert few.config["amplifier"]["images_per_class"] == 20
    other = build_graph(search.experiment(point | {"sampling.guidance": 3})).cells[0].classifier.inputs["amplifier"]
    cdpms = [each.inputs["synthetic"].inputs["cdpm"].key for each in (few, other)]
    assert cdpms[0] == cdpms[1] and other.inputs["synthetic"].key != few.inputs["synthetic"].key


def test_the_steps_of_a_rung_are_the_rows():
    (row,) = methods(sweep().experiment(sweep().default, 0.25).config)
    assert row.settings.steps == 125


def test_a_sweep_with_another_space_or_default_is_another_study_but_more_trials_are_not():
    key = sweep().key
    assert sweep(trials=99).key == sweep(seed=5).key == sweep(overrides=["resources.cpus_per_run=2"]).key == key
    narrower = {"space": SPACE | {"methods.ddb_two_step.gamma": {"uniform": [0, 2]}}}
    assert len({key, sweep(**narrower).key, sweep(overrides=["cdpm.steps=5"]).key}) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {"sampling.guidence": {"choices": [1]}}}, "sweep.space.sampling.guidence: is no setting of"),
        ({"space": {"resources.cpus_per_run": {"choices": [1]}}}, "sweep.space.resources.cpus_per_run: is no setting"),
        ({"space": {"sampling.guidance": {"uniform": [2, 3]}}}, "sweep.space.sampling.guidance: must include the"),
        ({"space": {"sampling.guidance": {"choices": [1, -1]}}}, "sampling.guidance: must be at least 0"),
        ({"space": {"sampling.guidance": {"uniform": [3, 1]}}}, "sweep.space.sampling.guidance: uniform must go from"),
        ({"space": {"sampling.guidance": {}}}, "sweep.space.sampling.guidance: must be one of choices, uniform,"),
        ({"space": {"methods.erm.steps": {"choices": [1]}}}, "sweep.space.methods.erm.steps: is no setting of"),
        (
            {"space": {"sampling.images_per_class": {"uniform": [9, 101]}}},
            "amplifier.images_per_class: must be a whole",
        ),
        ({"space": {"cdpm.steps": {"choices": [9]}}}, "sweep.space.cdpm.steps: all trials share data set and CDPM"),
        ({"space": {"dataset.seed": {"choices": [0, 1]}}}, "sweep.space.dataset.seed: all trials share data set and"),
        (
            {"space": SPACE | {"amplifier.images_per_class": {"integers": [2, 9]}}},
            "sweep.space: sampling.images_per_class and amplifier.images_per_class are one",
        ),
        ({"space": {}}, "sweep.space: must not be empty"),
        ({"rungs": [0.5, 0.25, 1]}, "sweep: rungs must be two or more ascending shares above 0, the last 1"),
        ({"rungs": [1]}, "sweep: rungs must be two or more ascending shares above 0, the last 1"),
        ({"objective": "test_average"}, "sweep.objective: must be 'val_average', 'val_worst_group' or"),
    ],
)
def test_a_mistake_is_told_in_one_line(changes, message):
    with pytest.raises(DDBError) as error:
        sweep(**changes)
    assert str(error.value).startswith(message) and len(str(error.value).splitlines()) == 1


def test_what_is_no_sweep_is_refused():
    with pytest.raises(DDBError, match=r"colored_digits\.yaml: has no section 'sweep'"):
        load_sweep("configs/colored_digits.yaml")
    with pytest.raises(DDBError, match="a sweep is over one row"):
        Sweep(VALUES | {"methods": {"erm": {}, "ddb_two_step": {}}}, [], "here.yaml")
    with pytest.raises(DDBError, match="needs a method with an amplifier, not erm"):
        space = {"training.steps": {"integers": [5, 500]}}
        Sweep(VALUES | {"methods": {"erm": {}}, "sweep": {"space": space}}, [], "x")
    with pytest.raises(DDBError, match="val_worst_group needs bias labels, and bar has none"):
        load_sweep("configs/sweeps/colored_digits.yaml", ["base=bar", "sweep.objective=val_worst_group"])


def test_a_setting_that_the_row_sets_itself_cannot_be_searched_elsewhere():
    rows = {"ddb_two_step": {"sampling": {"guidance": 3}, "steps": 7}}
    for name, values in (("sampling.guidance", [0, 3]), ("training.steps", [5, 7])):
        with pytest.raises(DDBError, match=f"sweep.space.{name}: changes nothing, as the row ddb_two_step sets it"):
            Sweep(VALUES | {"methods": rows, "sweep": {"space": {name: {"choices": values}}}}, [], "x")
    inner = {"methods.ddb_two_step.sampling.guidance": {"choices": [0, 3]}}
    assert Sweep(VALUES | {"methods": rows, "sweep": {"space": inner}}, [], "x").default == {next(iter(inner)): 3.0}


def test_the_study_follows_the_data(tmp_path):
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(np.full((8, 8, 3), 20 * i, np.uint8)).save(tmp_path / name / f"{i}.png")
    space = {"space": {"sampling.guidance": {"choices": [0, 1]}}}
    values = VALUES | {"dataset": {"name": "folder", "root": str(tmp_path), "image_size": 8}, "sweep": space}
    before = Sweep(values, [], "x").key
    assert Sweep(values, [], "x").key == before
    Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save(tmp_path / "train/a/0.png")
    assert Sweep(values, [], "x").key != before


@pytest.mark.parametrize(
    ("dimension", "inside", "outside"),
    [
        ({"choices": [1, 3]}, 3, 2),
        ({"uniform": [0, 1]}, 1, 1.1),
        ({"log_uniform": [0.1, 1]}, 0.1, 0.09),
        ({"integers": [2, 4]}, 4, 5),
    ],
)
def test_a_dimension_knows_its_values(dimension, inside, outside):
    found = Dimension(**dimension)
    assert found.contains(inside) and not found.contains(outside) and not found.contains(None)
    assert found.distribution()._contains(found.distribution().to_internal_repr(inside))


def test_a_trial_that_a_kill_interrupted_is_queued_again_once(tmp_path):
    """One whole trial, one stopped early, one under way; the study is opened again, twice."""
    search = sweep()
    study, _ = open_study(tmp_path, search)
    whole, stopped, running = (study.ask(distributions(search)) for _ in range(3))
    study.tell(whole, 0.5)
    stopped.report(0.1, 1)
    study.tell(stopped, state=TrialState.PRUNED)
    for _ in range(2):
        study, _ = open_study(tmp_path, search)
    assert [trial.number for trial in ended(study)] == [0, 1]
    states = [trial.state for trial in study.get_trials()]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.WAITING]
    assert study.get_trials()[2].user_attrs == {INTERRUPTED: True}
    assert study.get_trials()[3].user_attrs == {AGAIN: 2}
    again = study.ask(distributions(search))
    assert again.params == running.params
    study.tell(again, state=TrialState.FAIL)  # it fails by itself: that is an end
    assert [trial.number for trial in ended(study)] == [0, 1, 3]


def test_the_study_begins_with_the_default_which_a_kill_before_its_values_were_written_does_not_lose(tmp_path):
    search = sweep()
    study, _ = open_study(tmp_path, search)
    assert len(study.get_trials()) == 1
    study.ask()  # taken from the queue, its values not written yet
    study, _ = open_study(tmp_path, search)
    assert study.ask(distributions(search)).params == search.default


def test_a_kill_while_a_line_was_written_loses_that_line_alone(tmp_path, capsys):
    """Cut at every byte of the line that says a trial is over, the trial is queued again; whole, it stays."""
    search = sweep()
    study, _ = open_study(tmp_path, search)
    study.tell(study.ask(distributions(search)), 0.5)
    journal = tmp_path / "journal.log"
    whole = journal.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for kept in (0, 1, len(last) // 2, len(last) - 1, len(last)):
        journal.write_bytes(whole[: len(whole) - len(last) + kept])
        for _ in range(2):  # what is appended to a mended journal can be read
            study, _ = open_study(tmp_path, search)
        assert len(ended(study)) == (kept == len(last))
        said = capsys.readouterr().err.splitlines()
        assert len(said) == (0 < kept < len(last)) and all(f"{journal}: the last line was cut" in line for line in said)


def test_a_kill_while_the_study_is_mended_neither_loses_nor_repeats_a_point(tmp_path, monkeypatch):
    search = sweep()
    study, _ = open_study(tmp_path, search)
    point = study.ask(distributions(search)).params

    def killed(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("optuna.storages.JournalStorage.set_trial_user_attr", killed)  # after queuing, before marking
        with pytest.raises(KeyboardInterrupt):
            open_study(tmp_path, search)
    study, _ = open_study(tmp_path, search)
    assert study.ask(distributions(search)).params == point
    assert [trial.state for trial in study.get_trials()] == [TrialState.FAIL, TrialState.RUNNING]
