"""Only what no named experiment needs is removed, and nothing while a stage is computed."""

import json
from pathlib import Path

import pytest
import yaml

from ddb.audit.audit import audit_graph
from ddb.clean import needed, remove, size, unneeded
from ddb.errors import DDBError
from ddb.experiment.config_file import load
from ddb.experiment.graph import build_graph
from ddb.experiment.sweep import load_sweep, open_study
from ddb.store import Store, claim


@pytest.fixture
def kept(tmp_path):
    """A store with all results (empty but for their records), its graph, and files that need all or some of it."""
    config = {"methods": {"erm": {"steps": 2}, "ddb_two_step": {"steps": 2}}, "memorisation": False}
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "erm.yaml").write_text(yaml.safe_dump(config | {"methods": {"erm": {"steps": 2}}}))
    graph, store = build_graph(load(tmp_path / "all.yaml")), Store(tmp_path / "runs")
    for stage in graph.stages():
        with store.produce(stage) as work:
            (work.result / "file").write_text("0123456789")
    return store, graph, tmp_path


def test_what_a_configuration_needs_stays(kept):
    store, graph, folder = kept
    assert unneeded(store, needed(store, [folder / "all.yaml"])) == []
    assert unneeded(store, needed(store, [folder / "erm.yaml", folder / "all.yaml"])) == []
    spare = unneeded(store, needed(store, [folder / "erm.yaml"]))
    few = {stage.key for stage in build_graph(load(folder / "erm.yaml")).stages()}
    assert {path.name for path in spare} == {stage.key for stage in graph.stages()} - few and few
    assert size(spare[0]) > 10
    remove(store, spare)
    assert {stage.key for stage in graph.stages() if store.has(stage)} == few
    assert not list((store.root / ".work").glob("removed*"))


def test_what_an_audit_needs_stays(kept):
    store, _, folder = kept
    names = needed(store, [folder / "all.yaml"])
    control = [cell for cell in audit_graph(load(folder / "all.yaml").config).cells if "control" in cell.method]
    assert control and all(f"classifier/{cell.classifier.key}" in names for cell in control)


def test_a_workspace_whose_holder_is_gone_hinders_nobody(kept, monkeypatch):
    """Its holder was a process of another machine, of which nobody here knows whether it lives."""
    monkeypatch.setattr(claim, "HEARTBEAT", 0.05)
    store, _, folder = kept
    spare = unneeded(store, needed(store, [folder / "erm.yaml"]))
    left = store.root / ".work" / "cdpm" / "0123456789abcdef.first"
    left.mkdir(parents=True)
    holder = {"token": "first", "host": "n7", "pid": 1, "run": "", "machine": "another", "started": 1}
    (left / "holder.json").write_text(json.dumps(holder))
    remove(store, spare)
    assert not any(path.exists() for path in spare)


def test_nothing_is_removed_while_a_stage_is_computed(kept, monkeypatch):
    monkeypatch.setattr(claim, "HEARTBEAT", 0.05)
    store, graph, folder = kept
    spare, holder = unneeded(store, needed(store, [folder / "erm.yaml"])), store.claim(graph.data)
    assert holder.take()
    with pytest.raises(DDBError, match=f"clean: data {graph.data.key} is being computed"):
        remove(store, spare)
    holder.release()
    assert all(store.has(stage) for stage in graph.stages())


def test_what_a_search_has_tried_stays(kept):
    store, _, folder = kept
    default = yaml.safe_load((folder / "all.yaml").read_text())
    default["methods"] = {"ddb_two_step": {"steps": 2}}
    name, other = "methods.ddb_two_step.gamma", {"methods.ddb_two_step.gamma": 2.5}
    search = {"sweep": {"trials": 2, "space": {name: {"uniform": [0, 3]}}}}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(default | search))
    sweep = load_sweep(folder / "sweep.yaml")
    study, _ = open_study(store.root / "sweeps" / sweep.key, sweep)
    study.ask()  # the default, which is in the queue
    study.enqueue_trial(other)
    study.ask().suggest_float(name, 0, 3)
    names = needed(store, [folder / "sweep.yaml"])
    for point in (sweep.default, other):
        assert {f"{stage.name}/{stage.key}" for stage in build_graph(sweep.experiment(point)).stages()} <= names


def test_a_data_set_that_is_not_here_is_refused_since_its_keys_are_unknown(kept, monkeypatch, tmp_path):
    monkeypatch.setenv("DDB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DDBError, match=r"bar\.yaml: .*not found"):
        needed(kept[0], [Path("configs/benchmarks/bar.yaml")])
