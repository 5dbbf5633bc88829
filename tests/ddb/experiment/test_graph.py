from ddb.experiment.config_file import resolve
from ddb.experiment.graph import build_graph


def _plan(**values):
    return build_graph(resolve({"methods": {"erm": {}, "ddb_two_step": {}}} | values))


def _stage(graph, method, seed=0):
    return next(cell.classifier for cell in graph.cells if (cell.method, cell.seed) == (method, seed))


def test_a_setting_changes_the_stages_that_read_it_and_no_other():
    before, after = _plan(), _plan(sampling={"guidance": 3})
    assert _stage(before, "erm").key == _stage(after, "erm").key
    old, new = (_stage(graph, "ddb_two_step").inputs["amplifier"].inputs["synthetic"] for graph in (before, after))
    assert old.key != new.key and old.inputs["cdpm"].key == new.inputs["cdpm"].key


def test_resources_and_labels_change_nothing():
    other = _plan(resources={"cdpm_workers": 2}, methods={"erm": {}, "recipe one": {"method": "ddb_two_step"}})
    assert _stage(other, "recipe one").key == _stage(_plan(), "ddb_two_step").key


def test_one_cdpm_for_all_seeds_on_request():
    names = [stage.name for stage in _plan(seeds=[0, 1], cdpm={"seed": 5}).stages()]
    assert (names.count("cdpm"), names.count("synthetic")) == (1, 2)


def test_pseudo_group_selection_brings_the_amplifier_to_a_baseline():
    graph = _plan(methods={"erm": {"selection": "val_pseudo_worst_group"}})
    assert set(_stage(graph, "erm").inputs) == {"data", "amplifier"}
    assert graph.cells[0].guidance == 1.0


def test_rows_of_two_guidances_have_their_own_sets():
    rows = {f"w{w}": {"method": "ddb_end_to_end", "sampling": {"guidance": w}} for w in (0, 3)}
    drawn = list(_plan(methods=rows).synthetic.values())
    assert [each.sampling.guidance for each in drawn] == [0.0, 3.0]
    assert all(each.alignment.inputs["synthetic"].key == each.stage.key for each in drawn)


def test_cells_of_a_grid_share_what_they_can_and_stages_come_once_and_after_their_inputs():
    """Three guidances, two numbers of images, two recipes and erm, two seeds."""
    vary = {"sampling.guidance": [0, 1, 3], "sampling.images_per_class": [20, 50]}
    methods = {"erm": {}, "ddb_two_step": {}, "ddb_end_to_end": {}}
    graph = _plan(methods=methods, vary=vary, seeds=[0, 1])
    stages, seen = graph.stages(), set()
    for stage in stages:
        assert all(needed.key in seen for needed in stage.inputs.values())
        seen.add(stage.key)
    names = [stage.name for stage in stages]
    assert len(seen) == len(stages)
    assert {name: names.count(name) for name in set(names)} == {
        "data": 1,
        "cdpm": 2,
        "synthetic": 6,  # once per guidance, at 50
        "probe": 1,
        "alignment": 6,
        "amplifier": 12 + 2,  # the last two on real images, for the memorisation curve
        "classifier": 2 * (1 + 2 * 6),
        "evaluation": 2 * (1 + 2 * 6),
    }
    assert all(drawn.sampling.images_per_class == 50 for drawn in graph.synthetic.values())
    amplifiers = [run.stage.config["amplifier"].get("images_per_class") for run in graph.amplifiers.values()]
    assert sorted(amplifiers, key=str) == [20] * 6 + [None] * (6 + 2)


def test_a_varied_setting_that_changes_nothing_in_a_cell_is_none_there():
    graph = _plan(vary={"methods.ddb_two_step.gamma": [0, 1], "amplifier.steps": [5, 9]}, memorisation=False)
    found = [(cell.method, *cell.settings.values()) for cell in graph.cells]
    assert found == [("erm", None, None), *(("ddb_two_step", gamma, steps) for gamma in (0, 1) for steps in (5, 9))]


def test_cells_know_the_value_of_an_axis_that_their_grid_does_not_vary():
    vary = [{"cdpm.ema_decay": [None, 0.5]}, {"sampling.sampler_steps": [9]}]
    graph = _plan(methods={"ddb_two_step": {}}, vary=vary, memorisation=False)
    found = [tuple(cell.settings.values()) for cell in graph.cells]
    assert found == [("none", 15), (0.5, 15), (0.995, 9)]


def test_two_bases_of_one_data_set_are_told_apart(monkeypatch, tmp_path):
    monkeypatch.setenv("DDB_DATA", str(tmp_path))
    values = {"base": "bar", "methods": {"erm": {}}}
    same = build_graph(resolve(values | {"vary": {"base": ["bar", "bar_small"]}}))
    assert [cell.settings for cell in same.cells[::3]] == [{"base": "bar"}, {"base": "bar_small"}]
    other = build_graph(resolve(values | {"vary": {"base": ["bar", "bffhq"]}}))
    assert all(cell.settings == {} for cell in other.cells)


def test_the_smaller_of_two_sets_alone_is_drawn_as_it_is():
    alone = _stage(_plan(sampling={"images_per_class": 20}), "ddb_two_step").inputs["amplifier"]
    assert alone.inputs["synthetic"].config["sampling"]["images_per_class"] == 20
    assert alone.config["amplifier"]["images_per_class"] is None


def test_each_data_set_of_a_grid_has_its_own_stages_and_a_missing_one_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("DDB_DATA", str(tmp_path))
    values = {"base": "colored_digits", "vary": {"base": ["colored_digits", "bar"]}, "methods": {"ddb_two_step": {}}}
    graph = build_graph(resolve(values))
    here, absent = (next(cell.stage for cell in graph.cells if cell.dataset == n) for n in ("colored_digits", "bar"))
    assert graph.lacks_data(here) is None and "bar" in graph.lacks_data(absent)
    assert here.inputs["data"].key != absent.inputs["data"].key
