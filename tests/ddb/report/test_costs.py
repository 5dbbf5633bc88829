"""Costs by hand: what is finished, what sharing saved, and a method that uses a part of the images."""

from ddb.report.costs import costs
from tests.ddb.report.hand_made import complete, finish, make_plan


def graph():
    """One seed: ERM, and two methods with the first 2 and with all 4 of the images of a class."""
    methods = {"erm": {}, "ddb_two_step": {}, "ddb_end_to_end_joint": {}}
    return make_plan("seeds=[0]", methods=methods, vary={"sampling.images_per_class": [2, 4]})


def test_each_cell_alone_would_pay_for_all_that_it_needs_and_half_of_the_images_cost_half(store):
    complete(graph(), store)
    found = costs(graph(), store)
    assert found.cells == 5
    # Each: data 1, CDPM 10, images 8 (half of them 4), amplifier 3, classifier 4, evaluation 1.
    erm, two_step, end_to_end = 1 + 5, [1 + 10 + i + 3 + 5 for i in (4, 8)], [1 + 10 + i + 5 for i in (4, 8)]
    assert found.unshared == erm + sum(two_step) + sum(end_to_end) == 100
    assert found.shared == 1 + 10 + 8 + 2 * 3 + 5 * 5 == 50
    assert found.seconds == 50 + 2 + 1  # and the probe and the alignment, which no cell needs


def test_only_finished_cells_are_compared_and_stages_are_counted_by_kind(store):
    complete(graph(), store, skip=("classifier", "evaluation", "alignment"))
    found = costs(graph(), store)
    assert (found.cells, found.shared, found.unshared) == (0, 0, 0)
    kinds = {kind.name: kind for kind in found.kinds}
    assert list(kinds) == ["data", "cdpm", "synthetic", "amplifier", "classifier", "evaluation", "probe", "alignment"]
    amplifier, classifier = kinds["amplifier"], kinds["classifier"]
    assert (amplifier.planned, amplifier.stages, amplifier.seconds, amplifier.mean) == (2, 2, 6, 3)
    assert (classifier.planned, classifier.stages, classifier.mean) == (5, 0, None)
    cells = {(cell.method, cell.settings["sampling.images_per_class"]): cell for cell in graph().cells}
    finish(store, cells["ddb_two_step", 2].classifier)
    finish(store, cells["ddb_two_step", 2].stage)
    found = costs(graph(), store)
    assert (found.cells, found.shared, found.unshared) == (1, 1 + 10 + 8 + 3 + 5, 1 + 10 + 4 + 3 + 5)
