"""Files become settings: what lies over what, what varies, and what is refused in one line."""

import pytest
import yaml

from ddb.errors import DDBError
from ddb.experiment.config import methods
from ddb.experiment.config_file import load, resolve

BASE = {
    "dataset": {"name": "colored_digits", "conflict_ratio": 0.1},
    "training": {"steps": 50},
    "methods": {"erm": {}, "group_dro": {"step_size": 0.5}, "ddb_two_step": {"gamma": 2}},
    "presets": {"quick": {"training": {"steps": 5}}},
    "seeds": [0, 1],
}


@pytest.fixture
def files(tmp_path):
    """base.yaml as above; `write(name, values)` puts another file beside it and returns its path."""

    def write(name, values):
        (tmp_path / name).write_text(yaml.safe_dump(values, sort_keys=False))
        return tmp_path / name

    write("base.yaml", BASE)
    return write


def rows(config):
    return {row.label: row for row in methods(config)}


def test_a_file_lies_over_its_base_and_keeps_the_settings_of_its_rows(files):
    path = files("mine.yaml", {
        "base": "base.yaml",
        "dataset": {"image_size": 8},
        "methods": {"ddb_two_step": {"steps": 7}, "mine": {"method": "group_dro"}, "lff": {}},
    })  # fmt: skip
    config = load(path).config
    assert (config.dataset.conflict_ratio, config.dataset.image_size, config.seeds) == (0.1, 8, (0, 1))
    found = rows(config)
    assert list(found) == ["ddb_two_step", "mine", "lff"]  # the file's own list
    assert (found["ddb_two_step"].settings.gamma, found["ddb_two_step"].settings.steps) == (2, 7)
    assert found["mine"].settings.step_size == 0.5  # of the base's row of that method
    assert found["lff"].settings.steps == 50


def test_the_order_is_base_file_preset_override(files):
    path = files("mine.yaml", {"base": "base.yaml", "training": {"steps": 30}})
    assert load(path).config.training["steps"] == 30
    assert list(load(path).config.methods) == list(BASE["methods"])  # all of them, as the file has no rows
    assert load(path, ["preset=quick"]).config.training["steps"] == 5
    assert load(path, ["training.steps=9", "preset=quick"]).config.training["steps"] == 9


def test_a_base_is_a_file_or_a_name_of_ours(files, monkeypatch, tmp_path):
    path = files("mine.yaml", {"base": "base.yaml", "methods": {"erm": {}}})
    assert load(path, ["base=bffhq"]).config.dataset.name == "bffhq"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "other.yaml").write_text(yaml.safe_dump(BASE | {"seeds": [7]}))
    monkeypatch.chdir(elsewhere)  # on the command line, a path means what it means to the shell
    assert load(path, ["base=other.yaml"]).config.seeds == (7,)


def test_a_grid_is_every_combination_in_order(files):
    path = files("mine.yaml", {"base": "base.yaml", "vary": {"sampling.guidance": [0, 3], "cdpm": {"steps": [5, 6]}}})
    experiment = load(path)
    assert [tuple(point.varied.values()) for point in experiment.points] == [(0, 5), (0, 6), (3, 5), (3, 6)]
    assert experiment.axes == ("sampling.guidance", "cdpm.steps")
    last = experiment.points[-1].config
    assert (last.sampling.guidance, last.cdpm.steps) == (3, 6)


def test_grids_in_a_list_follow_each_other_and_repeat_nothing():
    vary = [{"cdpm.steps": [5, 6]}, {"cdpm.steps": [6], "sampling.guidance": [1]}, {"cdpm.steps": [6]}]
    found = [point.varied for point in resolve({"methods": {"erm": {}}, "vary": vary}).points]
    assert found == [{"cdpm.steps": 5}, {"cdpm.steps": 6}, {"cdpm.steps": 6, "sampling.guidance": 1}]


def test_a_varied_setting_is_narrowed_dropped_or_added_on_the_command_line():
    path = "configs/ablations/guidance.yaml"
    narrowed = load(path, ["vary.sampling.guidance=[2, 4]"])
    assert [point.config.sampling.guidance for point in narrowed.points] == [2, 4]
    assert len(load(path, ["vary.sampling.guidance=null"]).points) == 1
    assert len(load("configs/colored_digits.yaml", ["vary.cdpm.steps=[5, 6, 7]"]).points) == 3


def test_a_grid_over_data_sets_leaves_oracles_out_where_there_are_no_bias_labels():
    experiment = load("configs/tables/recipe_1.yaml", ["vary.base=[waterbirds, bar]"])
    kept = {point.config.dataset.name: set(point.config.methods) for point in experiment.points}
    assert kept["waterbirds"] - kept["bar"] == {"group_dro"}
    assert experiment.notes == ("group_dro: left out for bar, which has no bias labels",)
    settings = {point.config.dataset.name: rows(point.config)["erm"].settings for point in experiment.points}
    assert (settings["waterbirds"].network, settings["bar"].network) == ("resnet50", "resnet18")


@pytest.mark.parametrize(
    ("values", "overrides", "message"),
    [
        ({"vary": {"resources.cpus_per_run": [1, 2]}}, [], "vary.resources.cpus_per_run: cannot be varied"),
        ({"vary": {"cdpm.steps": 5}}, [], "vary.cdpm.steps: must be a list of values (got 5)"),
        ({"vary": {"cdpm.steps": []}}, [], "vary.cdpm.steps: must be a list of values (got [])"),
        ({"vary": 3}, [], "vary: must be a section of setting: [values] (got 3)"),
        ({"vary": []}, [], "vary: must not be empty"),
        ({"vary": {"cdpm.stepz": [1]}}, [], "cdpm.stepz: unknown setting; did you mean 'steps'?"),
        ({"vary": {"seeds.x": [1]}, "seeds": [0]}, [], "vary.seeds.x: cannot be varied"),
        ({"vary": {"training.steps.x": [1]}, "training": {"steps": 3}}, [], "vary.training.steps.x: steps is a value"),
        ({"vary": {"cdpm.steps": [1]}}, ["cdpm.steps=3"], "override cdpm.steps: . varies it; narrow it with vary.cdpm"),
        ({"base": "waterbird"}, [], "base: 'waterbird' is no file and no configuration of ours; did you mean 'waterb"),
        ({"base": "bar", "methods": [1]}, [], "methods: must be a section of settings (got [1])"),
        ({"base": "bar"}, ["methods.erm=5"], "methods.erm: must be a section of settings (got 5)"),
        ({}, ["preset=fast"], "preset: 'fast' is not in ."),
        ({}, ["sampling"], "override 'sampling': must be key=value"),
        ({}, ["=3"], "override '=3': must be key=value"),
        ({"seeds": [0]}, ["seeds.x.y=1"], "override 'seeds.x.y=1': seeds is a value, not a section"),
        ({}, ["a=[1"], "override 'a=[1': the value is not YAML"),
    ],
)
def test_a_mistake_is_told_in_one_line(values, overrides, message):
    with pytest.raises(DDBError) as error:
        resolve({"methods": {"erm": {}}} | values, overrides)
    assert str(error.value).startswith(message)
    assert len(str(error.value).splitlines()) == 1


def test_a_file_that_is_its_own_base_is_refused(files):
    files("other.yaml", {"base": "mine.yaml"})
    with pytest.raises(DDBError, match="own base"):
        load(files("mine.yaml", {"base": "other.yaml"}))


def test_an_axis_of_several_grids_is_narrowed_where_it_is():
    vary = [{"cdpm.steps": [5, 6]}, {"cdpm.batch_size": [8, 16]}]
    narrowed = resolve({"methods": {"erm": {}}, "vary": vary}, ["vary.cdpm.steps=[6]"])
    found = [point.varied for point in narrowed.points]
    assert found == [{"cdpm.steps": 6}, {"cdpm.batch_size": 8}, {"cdpm.batch_size": 16}]
    added = resolve({"methods": {"erm": {}}, "vary": vary}, ["vary.sampling.guidance=[3]"])
    assert all(point.varied["sampling.guidance"] == 3 for point in added.points) and len(added.points) == 4
