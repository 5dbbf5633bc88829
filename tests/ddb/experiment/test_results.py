"""Results in pandas, from a store that is written by hand."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

import ddb
from ddb.errors import DDBError
from ddb.store import Store
from ddb.training import predictions
from tests.ddb.report.hand_made import GUIDED, VALUES, complete, dataset, finish, make_plan, metrics


@pytest.fixture
def made(tmp_path):
    """A configuration file, its graph with two guidances and two seeds, and an empty store."""
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(VALUES | GUIDED))
    return tmp_path / "mine.yaml", make_plan(**GUIDED), Store(tmp_path / "runs")


def test_cells_and_metrics_are_those_of_the_plan_and_the_store(made):
    path, graph, store = made
    complete(graph, store)
    found = ddb.results(path, store.root)
    assert len(found.cells) == len(graph.cells) == 6 and (found.cells["state"] == "finished").all()
    assert list(found.cells)[:6] == ["dataset", "method", "selection", "guidance", "seed", "sampling.guidance"]
    worst = found.metrics[found.metrics["metric"] == "worst_group_accuracy"].set_index(["method", "guidance", "seed"])
    # Recipe I at w = 1: 0.9 - 0.09 and, with seed 1, 0.1 more; the worst group has half of it
    assert worst.loc[("ddb_two_step", 1.0, 0), "value"] == pytest.approx(0.405)
    assert worst.loc[("ddb_two_step", 1.0, 1), "value"] == pytest.approx(0.455)
    nested = found.metrics[found.metrics["metric"] == "group_accuracy/cat/conflicting"]
    assert len(nested) == 6 and nested["value"].max() == pytest.approx(0.5)
    assert found.cells.loc[nested["cell"].iloc[0], "method"] == nested["method"].iloc[0]


def test_signals_synthetic_sets_and_records_have_a_row_each(made):
    path, graph, store = made
    complete(graph, store)
    found = ddb.results(path, store.root)
    by_guidance = found.signals.groupby("guidance")["aligned_share"].mean()
    assert by_guidance.to_dict() == pytest.approx({0: 0.9, 1: 0.95}) and (found.signals["recall"] == 0.5).all()
    images = pd.read_parquet(found.synthetic.set_index(["seed", "guidance"]).loc[(0, 1.0), "file"])
    assert len(images) == 6
    assert set(found.records["key"]) == {stage.key for stage in graph.stages()}
    assert (found.records["seconds"] > 0).all()


def test_predictions_of_chosen_cells_say_which_cell_they_are_of(made):
    path, graph, store = made
    logits = {name: np.eye(2)[[0, 0, 1, 1, 1, 0]] for name in ("train", "val", "test")}
    for cell in graph.cells[:3]:
        write = lambda directory: predictions.write(directory / "predictions.parquet", dataset(), logits)  # noqa: E731
        finish(store, cell.stage, write, metrics=metrics(cell))
    found = ddb.results(path, store.root)
    assert found.cells["state"].value_counts().to_dict() == {"finished": 3, "missing": 3}
    table = found.predictions(seed=0)
    assert table.groupby("cell").size().tolist() == [6] * table["cell"].nunique()
    assert (table["seed"] == 0).all() and (table["predicted"] == table["label"]).mean() == pytest.approx(4 / 6)
    assert set(table["method"]) == {cell.method for cell in graph.cells[:3] if cell.seed == 0}
    assert found.predictions(method="nobody").empty
    assert set(found.predictions(guidance=None)["method"]) == {"erm"}
    with pytest.raises(DDBError, match="predictions: no column 'sed'; did you mean 'seed'"):
        found.predictions(sed=0)


def test_frames_of_an_empty_store_are_empty_and_failures_are_states(made):
    path, graph, store = made
    store.fail(graph.cells[-1].classifier.inputs["amplifier"].inputs["synthetic"], "out of memory")
    found = ddb.results(path, store.root, ["seeds=[1]"])
    assert found.cells["seed"].tolist() == [1, 1, 1]
    assert found.cells.set_index(["method", "guidance"])["state"].to_dict()["ddb_two_step", 1.0] == "failed"
    for frame in (found.metrics, found.synthetic, found.records, found.predictions()):
        assert frame.empty
    assert list(found.metrics.columns[-2:]) == ["metric", "value"]


def test_importing_ddb_imports_no_pandas():
    code = "import sys, ddb; assert not {'pandas', 'torch', 'numpy'} & {*sys.modules}; ddb.results"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="module 'ddb' has no attribute 'result'"):
        ddb.result  # noqa: B018
