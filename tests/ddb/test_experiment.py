from ddb.config import resolve
from ddb.experiment import plan


def _plan(**values):
    return plan(resolve({"methods": {"erm": {}, "ddb_two_step": {}}} | values))


def _stage(graph, method, seed=0):
    return next(cell.stage for cell in graph.cells if (cell.method, cell.seed) == (method, seed))


def test_stages_come_once_and_after_their_inputs():
    stages = _plan(seeds=[0, 1]).stages()
    seen = set()
    for stage in stages:
        assert all(needed.key in seen for needed in stage.inputs.values())
        seen.add(stage.key)
    names = [stage.name for stage in stages]
    assert len(seen) == len(stages)
    assert {name: names.count(name) for name in set(names)} == {
        "data": 1,
        "cdpm": 2,
        "synthetic": 2,
        "probe": 1,
        "alignment": 2,
        "amplifier": 4,  # synthetic and, for the memorisation curve, real
        "target": 4,
    }


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
    graph = _plan(methods=rows)
    assert set(graph.synthetic) == set(graph.alignment) == {(0, 0.0), (0, 3.0)}
