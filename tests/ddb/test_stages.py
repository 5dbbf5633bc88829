"""Golden numbers: what tiny stages give under the code version that is written beside them.

When one of these fails, either something broke or the stage's numbers changed on purpose: then bump its version in
its kind in `ddb/stages/`, so that old results are not mixed with new ones, and write both new values here.
"""

import json

import numpy as np
import pytest
import torch

from ddb import classifier
from ddb.config_file import resolve
from ddb.data import Split, load_dataset
from ddb.data.colored_digits import ColoredDigitsConfig
from ddb.diffusion import synthetic
from ddb.diffusion.network import build_unet
from ddb.diffusion.pipeline import CDPMPipeline
from ddb.diffusion.process import noise_schedule
from ddb.diffusion.settings import CDPMSettings, SamplingSettings
from ddb.diffusion.train import Hooks, train
from ddb.experiment import add_validation, plan
from ddb.signals.table import Signals
from ddb.stages import KINDS
from ddb.stages.kind import Job
from ddb.store import Store

GOLDEN = {  # stage -> code version, number
    "data": (1, 160.45),
    "cdpm": (2, 0.65362),
    "synthetic": (2, 168.54),
    "amplifier": (2, 0.99032),
    "target": (3, 1.4739),
}
SMALL = CDPMSettings(channels=(16, 16), steps=20, batch_size=8, warmup_steps=2, engine="ddp")


def _data():
    return float(load_dataset(ColoredDigitsConfig(image_size=8))["train"].images.mean())


def _cdpm():
    split, seen = load_dataset(ColoredDigitsConfig(image_size=8))["train"], []
    train(split.images, split.labels, 10, SMALL, 0, Hooks(log=lambda step, numbers: seen.append(numbers["loss"])))
    return seen[-1]


def _synthetic():
    torch.manual_seed(0)
    pipeline = CDPMPipeline(build_unet(SMALL, 8, 10).eval(), noise_schedule("fast"))
    settings = SamplingSettings(sampler_steps=8)
    return float(synthetic.generate(pipeline, [1, 2], [0, 1], 0, settings, 2).mean())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """ERM and the real amplifier on Colored Digits, a few steps each, run in this process."""
    few = {"steps": 10, "batch_size": 16}
    values = {"dataset": {"image_size": 8}, "methods": {"erm": few}, "amplifier": {"steps": 10}}
    graph, store = plan(resolve(values)), Store(tmp_path_factory.mktemp("runs"))
    for stage in graph.stages():
        with store.produce(stage) as work:
            KINDS[stage.name].compute(Job(stage, store, work, lambda *progress: None))
            work.numbers["device"] = "cpu"
    return graph, store


def _numbers(finished):
    graph, store = finished
    (real,) = (store.path(run.stage) for run in graph.amplifiers.values())
    history = json.loads((store.path(graph.cells[0].stage) / "history.json").read_text())
    return {
        "data": _data(),
        "cdpm": _cdpm(),
        "synthetic": _synthetic(),
        "amplifier": json.loads((real / "quality.json").read_text())["auroc"],
        "target": history[-1]["loss"],
    }


def test_numbers_change_only_with_the_code_version(finished):
    versions = {name: KINDS[name].version for name in GOLDEN}
    assert versions == {name: version for name, (version, _) in GOLDEN.items()}
    golden = {name: number for name, (_, number) in GOLDEN.items()}
    assert _numbers(finished) == pytest.approx(golden, rel=0.01)


def test_a_target_is_judged_by_hand(tmp_path, monkeypatch):
    """Six of eight validation images right, and the judge misclassifies images 1 and 7, whatever their bias."""
    graph, store = plan(resolve({"methods": {"ddb_two_step": {}}, "memorisation": False})), Store(tmp_path)
    cell = graph.cells[0]
    labels, aligned = np.arange(8) // 4, np.arange(8) // 2 % 2 == 0
    right = np.array([1, 1, 1, 0, 1, 0, 1, 1], bool)
    split = Split(np.zeros((8, 8, 8, 3), np.uint8), labels, list("abcdefgh"), labels[:, None], aligned)
    monkeypatch.setattr(Job, "data", lambda job: {"val": split})
    monkeypatch.setattr(classifier, "load_classifier", lambda directory: torch.nn.Identity())
    predicted = torch.from_numpy(np.where(right, labels, 1 - labels))
    monkeypatch.setattr(classifier, "predict", lambda *arguments: torch.nn.functional.one_hot(predicted, 2).float())
    wrong = np.isin(np.arange(8), (1, 7))  # of the judge
    half = np.full(8, 0.5, np.float32)
    amplifier = cell.stage.inputs["amplifier"]
    with store.produce(amplifier) as work:
        signals = Signals(split.paths, labels, np.where(wrong, 1 - labels, labels), half, half, wrong)
        signals.write(work.result / "signals_val.parquet")
    add_validation(graph, {cell.seed: amplifier})
    stage = graph.validation[cell.stage.key]
    with store.produce(stage) as work:
        KINDS[stage.name].compute(Job(stage, store, work, lambda *progress: None))
    found = json.loads((store.path(stage) / "validation.json").read_text())
    # True groups 01, 23, 45, 67: 2, 1, 1, 2 of 2 right. Pseudo-groups 023, 1, 456, 7: 2 of 3, 1, 2 of 3, 1.
    assert found == {"val_average": 6 / 8, "val_worst_group": 1 / 2, "val_pseudo_worst_group": pytest.approx(2 / 3)}


def test_a_record_tells_where_a_result_comes_from(finished):
    graph, store = finished
    stage = graph.cells[0].stage
    record = store.record(stage)
    assert record["config"] == stage.config and record["inputs"] == {"data": f"data/{graph.data.key}"}
    assert set(record) >= {"git", "packages", "host", "device", "finished", "seconds", "code_version"}
