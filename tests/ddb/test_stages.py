"""Keys and stages: what changes a key, that a new metric trains nothing again, what a search reads of a classifier."""

import json
from typing import Annotated

import numpy as np
import pytest
import torch

from ddb.data import BiasedDataset, Split
from ddb.experiment.config_file import resolve
from ddb.experiment.graph import build_graph
from ddb.experiment.results import Results
from ddb.experiment.sweep import validation_numbers
from ddb.settings import AddedLater, HashedAs, NotHashed, Settings
from ddb.signals.table import Signals
from ddb.stages import KINDS, make_stage
from ddb.stages.kind import Job
from ddb.store import Store
from ddb.training import metrics, predictions
from ddb.training.networks import build_network


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """ERM on Colored Digits, a few steps, computed in this process."""
    values = {"dataset": {"image_size": 8}, "methods": {"erm": {"steps": 10, "batch_size": 16}}, "memorisation": False}
    graph, store = build_graph(resolve(values)), Store(tmp_path_factory.mktemp("runs"))
    for stage in graph.stages():
        compute(stage, store)
    return graph, store


def compute(stage, store):
    with store.produce(stage) as work:
        KINDS[stage.name].compute(Job(stage, store, work, lambda *progress: None))
        work.numbers["device"] = "cpu"


class Before(Settings):
    steps: int = 5


class Now(Settings):
    steps: int = 5
    clip: Annotated[float | None, AddedLater(None)] = None
    folder: Annotated[str | None, NotHashed()] = None


class Named(Settings):
    words: Annotated[str, HashedAs(len)]


def key(settings):
    return make_stage("alignment", {"mine": settings}).key


def test_a_setting_that_is_added_later_changes_no_key_at_its_neutral_value():
    assert key(Now()) == key(Before()) and key(Now(steps=6)) == key(Before(steps=6)) != key(Before())
    assert key(Now(clip=1.0)) != key(Now())
    assert make_stage("alignment", {"mine": Now()}).config == {"mine": {"steps": 5, "clip": None}}


def test_a_setting_that_changes_no_number_is_in_no_key_and_a_file_is_there_by_its_content():
    assert key(Now(folder="here")) == key(Now())
    assert key(Named(words="abc")) == key(Named(words="xyz")) != key(Named(words="abcd"))


def test_weights_are_in_the_key_by_their_content(tmp_path):
    first, copy, other = (tmp_path / name for name in ("first.pth", "copy.pth", "other.pth"))
    torch.save(build_network("resnet18", 2).state_dict(), first)
    copy.write_bytes(first.read_bytes())
    other.write_bytes(first.read_bytes() + b" ")

    def trained(weights):
        erm = {"network": "resnet18", "pretrained": str(weights)}
        values = {"dataset": {"image_size": 32}, "methods": {"erm": erm}, "memorisation": False}
        return build_graph(resolve(values)).cells[0].classifier

    assert trained(first).key == trained(copy).key != trained(other).key
    assert trained(copy).config["settings"]["pretrained"] == str(copy)


@pytest.mark.parametrize("changed", ["evaluation", "classifier", "erm", "small_cnn", "colored_digits"])
def test_a_version_makes_new_keys_of_what_its_code_computes_and_of_what_needs_that(monkeypatch, changed):
    values = resolve({"methods": {"erm": {}}, "memorisation": False})
    before = {stage.name: stage for stage in build_graph(values).stages()}
    stage = next(stage for stage in before.values() if changed in stage.code)
    kind, code = KINDS[stage.name], KINDS[stage.name].code
    monkeypatch.setattr(kind, "code", lambda config: code(config) | {changed: 99}, raising=False)
    after = {stage.name: stage for stage in build_graph(values).stages()}
    new = {name for name in before if before[name].key != after[name].key}
    assert new == {each.name for each in before.values() if stage.key in {a.key for a in each.ancestors()}}


def test_a_new_metric_trains_nothing_again(finished, monkeypatch):
    """It is an evaluation with a higher version: the classifier is there."""
    graph, store = finished
    monkeypatch.setattr(KINDS["evaluation"], "version", 99)
    evaluate = metrics.evaluate
    monkeypatch.setattr(metrics, "evaluate", lambda *arguments: evaluate(*arguments) | {"mine": 0.5})
    again = build_graph(graph.experiment)
    missing = [stage for stage in again.stages() if not store.has(stage)]
    assert missing == [again.cells[0].stage]
    compute(missing[0], store)
    read = [json.loads((store.path(each.cells[0].stage) / "metrics.json").read_text()) for each in (graph, again)]
    assert read[1] == read[0] | {"mine": 0.5}


def test_predictions_are_a_row_for_each_image_and_the_metrics_come_from_them(finished):
    graph, store = finished
    path = store.path(graph.cells[0].stage) / "predictions.parquet"
    test = predictions.read(path, "test")
    assert list(test.columns) == [
        "split", "path", "label", "predicted", "logits", "aligned", "group", "bias_color"
    ]  # fmt: skip
    right = test["predicted"] == test["label"]
    found = json.loads((path.parent / "metrics.json").read_text())
    assert right.mean() == found["average_accuracy"]
    assert right[~test["aligned"]].mean() == pytest.approx(found["conflicting_accuracy"])
    assert right.groupby(test["group"]).mean().min() == found["worst_group_accuracy"]
    assert (np.stack(test["logits"]).argmax(1) == test["predicted"]).all()


def test_a_classifier_is_judged_by_hand(tmp_path):
    """Six of eight validation images right, and the judge misclassifies images 1 and 7, whatever their bias."""
    graph = build_graph(resolve({"methods": {"ddb_two_step": {}}, "memorisation": False, "seeds": [0]}))
    store, cell = Store(tmp_path), graph.cells[0]
    labels, aligned = np.arange(8) // 4, np.arange(8) // 2 % 2 == 0
    right = np.array([1, 1, 1, 0, 1, 0, 1, 1], bool)
    split = Split(np.zeros((8, 8, 8, 3), np.uint8), labels, list("abcdefgh"), labels[:, None], aligned)
    dataset = BiasedDataset("hand", ("a", "b"), {"colour": ("a", "b")}, {"val": split})
    with store.produce(cell.stage) as work:
        logits = np.eye(2)[np.where(right, labels, 1 - labels)]
        predictions.write(work.result / "predictions.parquet", dataset, {"val": logits})
    wrong = np.isin(np.arange(8), (1, 7))  # of the judge
    half, judge = np.full(8, 0.5, np.float32), cell.classifier.inputs["amplifier"]
    with store.produce(judge) as work:
        signals = Signals(split.paths, labels, np.where(wrong, 1 - labels, labels), half, half, wrong)
        signals.write(work.result / "signals_val.parquet")
    # True groups 01, 23, 45, 67: 2, 1, 1, 2 of 2 right. Pseudo-groups 023, 1, 456, 7: 2 of 3, 1, 2 of 3, 1.
    found = validation_numbers(Results(graph, store).predictions("val"), store.path(judge))
    assert found == {"val_average": 6 / 8, "val_worst_group": 1 / 2, "val_pseudo_worst_group": pytest.approx(2 / 3)}


def test_a_record_says_where_a_result_comes_from(finished):
    graph, store = finished
    stage = graph.cells[0].classifier
    record = store.record(stage)
    assert record["config"] == stage.config and record["inputs"] == {"data": f"data/{graph.data.key}"}
    assert set(record) >= {"git", "packages", "host", "device", "finished", "seconds"}
    assert record["code"] == {"classifier": 4, "erm": 1, "small_cnn": 1}
