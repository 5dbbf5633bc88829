"""Golden numbers: what tiny stages give under the code version that is written beside them.

When one of these fails, either something broke or the stage's numbers changed on purpose: then bump its version in
`ddb.experiment.CODE_VERSIONS`, so that old results are not mixed with new ones, and write both new values here.
"""

import json

import pytest
import torch

from ddb.artifacts import Store
from ddb.config_file import resolve
from ddb.data import load_dataset
from ddb.data.colored_digits import ColoredDigitsConfig
from ddb.diffusion import synthetic
from ddb.diffusion.network import build_unet
from ddb.diffusion.pipeline import CDPMPipeline
from ddb.diffusion.process import noise_schedule
from ddb.diffusion.settings import CDPMSettings, SamplingSettings
from ddb.diffusion.train import Hooks, train
from ddb.experiment import CODE_VERSIONS, plan
from ddb.stages import run_classifier_stage, write_record

GOLDEN = {  # stage -> code version, number
    "data": (1, 160.45),
    "cdpm": (1, 0.69009),
    "synthetic": (1, 173.94),
    "amplifier": (1, 0.99032),
    "target": (2, 1.4491),
}
SMALL = CDPMSettings(channels=(16, 16), steps=20, batch_size=8, warmup_steps=2, engine="ddp")


def _data():
    return float(load_dataset(ColoredDigitsConfig(image_size=8))["train"].images.mean())


def _cdpm():
    dataset, seen = load_dataset(ColoredDigitsConfig(image_size=8)), []
    train(
        dataset["train"].images,
        dataset["train"].labels,
        10,
        SMALL,
        0,
        Hooks(log=lambda step, n: seen.append(n["loss"])),
    )
    return seen[-1]


def _synthetic():
    torch.manual_seed(0)
    pipeline = CDPMPipeline(build_unet(SMALL, 8, 10).eval(), noise_schedule("fast"))
    settings = SamplingSettings(sampler_steps=4)
    return float(synthetic.generate(pipeline, [1, 2], [0, 1], 0, settings, 2).mean())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """ERM and the real amplifier on Colored Digits, a few steps each, run in this process."""
    few = {"steps": 10, "batch_size": 16}
    values = {"dataset": {"image_size": 8}, "methods": {"erm": few}, "amplifier": {"steps": 10}}
    graph, store = plan(resolve(values)), Store(tmp_path_factory.mktemp("runs"))
    for stage in graph.stages():
        with store.produce(stage) as work:
            run_classifier_stage(stage, store, work, lambda *progress: None)
            write_record(stage, work.result, 0.0)
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
    versions = {name: CODE_VERSIONS[name] for name in GOLDEN}
    assert versions == {name: version for name, (version, _) in GOLDEN.items()}
    golden = {name: number for name, (_, number) in GOLDEN.items()}
    assert _numbers(finished) == pytest.approx(golden, rel=0.01)


def test_a_record_tells_where_a_result_comes_from(finished):
    graph, store = finished
    stage = graph.cells[0].stage
    record = store.record(stage)
    assert record["config"] == stage.config and record["inputs"] == {"data": f"data/{graph.data.key}"}
    assert set(record) >= {"git", "packages", "host", "device", "finished", "seconds", "code_version"}
