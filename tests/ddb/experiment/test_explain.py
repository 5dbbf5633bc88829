"""Where a result comes from, by its key, a part of it, or its path."""

from collections import Counter

import pytest

from ddb.errors import DDBError
from ddb.experiment import explain as module
from ddb.experiment.config_file import resolve
from ddb.experiment.explain import explain, find, versions_now
from ddb.experiment.graph import build_graph
from ddb.store import Store


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A store whose results are empty but for their records, and its graph."""
    graph, store = build_graph(resolve({"methods": {"ddb_two_step": {}}})), Store(tmp_path_factory.mktemp("runs"))
    for stage in graph.stages():
        with store.produce(stage) as work:
            work.numbers["device"] = "cpu"
    return graph, store


def test_a_result_is_found_by_its_key_its_first_digits_or_its_path(known):
    graph, store = known
    stage = graph.cells[0].classifier
    for name in (stage.key, stage.key[:8], f"classifier/{stage.key}", f"runs/classifier/{stage.key}/"):
        assert find(store, name) == store.path(stage)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ffffffffffffffff", "ffffffffffffffff: no such finished result in the store"),
        ("cdpm", "cdpm: name a result by its key"),
        ("ab", "ab: name a result by its key"),
        ("", ": name a result by its key"),
        ("/abcd1234", "/abcd1234: no such finished result"),
    ],
)
def test_what_names_no_result_is_one_line(known, name, message):
    with pytest.raises(DDBError) as error:
        find(known[1], name)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_a_part_that_means_several_names_them(known, monkeypatch):
    graph, store = known
    monkeypatch.setattr(module, "LEAST", 0)
    with pytest.raises(DDBError, match=rf"could mean {len(graph.stages())} results: "):
        find(store, "./")


def test_a_classifier_says_what_it_is_from_what_and_for_whom(known):
    graph, store = known
    cell = graph.cells[0]
    trained, amplifier = cell.classifier, cell.classifier.inputs["amplifier"]
    text = "\n".join(explain(store, store.path(trained)))
    assert text.startswith(f"classifier/{trained.key} in {store.root}\ncomputed: ")
    assert "code: classifier 4, ddb_two_step 1, small_cnn 1\n" in text
    uses = f"from: amplifier/{amplifier.key}\nused by: evaluation/{cell.stage.key}\n"
    assert f"from: data/{graph.data.key}\n{uses}" in text
    assert "  method: ddb_two_step\n" in text and "    gamma: " in text
    assert text.endswith("or the version of classifier or ddb_two_step or small_cnn changes.")


def test_a_version_that_has_moved_on_is_reported(known, monkeypatch):
    graph, store = known
    monkeypatch.setattr(module, "versions_now", lambda: versions_now() | {"evaluation": 99})
    last = explain(store, store.path(graph.cells[0].stage))[-1]
    assert last.startswith("In the present code, evaluation is version 99: experiments no longer use this result")


def test_a_version_of_an_input_that_has_moved_on_is_reported_too(known, monkeypatch):
    graph, store = known
    monkeypatch.setattr(module, "versions_now", lambda: versions_now() | {"unet": 2})
    assert "unet is version 2: experiments" in explain(store, store.path(graph.cells[0].stage))[-1]
    assert "version 2" not in explain(store, store.path(graph.data))[-1]


def test_a_damaged_record_elsewhere_does_no_harm(known, tmp_path):
    graph, store = known
    other = Store(tmp_path)
    for stage in (graph.data, graph.cells[0].classifier):
        other.path(stage).parent.mkdir()
        other.path(stage).symlink_to(store.path(stage))
    broken = tmp_path / "cdpm" / "0123456789abcdef"
    broken.mkdir(parents=True)
    (broken / "record.json").write_text('{"stage": ')
    assert f"used by: classifier/{graph.cells[0].classifier.key}" in explain(other, other.path(graph.data))
    with pytest.raises(DDBError, match="damaged or of an earlier version"):
        explain(other, find(other, "0123456789abcdef"))


def test_no_two_pieces_of_code_have_one_name():
    registries = (module.KINDS, module.METHODS, module.NETWORKS, module.SAMPLERS, module.BENCHMARKS, module.DENOISERS)
    assert Counter(name for registry in registries for name in registry).most_common(1)[0][1] == 1
