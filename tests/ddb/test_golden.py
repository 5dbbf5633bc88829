"""Golden numbers: what every kind of stage, method, network and sampler computes under the versions of its code.

On a CPU with one thread, after a few steps. If one fails, either something broke or the numbers changed on purpose:
then increase the version that stands beside the code that changed, so that old results are not mixed with new ones, and
write numbers and versions into golden.json. Numbers may differ by 1 in 1,000, for the arithmetic of other machines.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torchvision import models

from ddb.data import prepared
from ddb.diffusion import probe, synthetic
from ddb.diffusion.denoisers import DENOISERS, build_denoiser
from ddb.diffusion.noise_schedules import noise_schedule
from ddb.diffusion.pipeline import CDPMPipeline
from ddb.diffusion.samplers import SAMPLERS
from ddb.diffusion.settings import CDPMSettings, SamplingSettings
from ddb.experiment.config_file import resolve
from ddb.experiment.graph import build_graph
from ddb.features import table
from ddb.recipes import METHODS
from ddb.signals import SOURCES
from ddb.signals.table import Signals
from ddb.stages import KINDS
from ddb.stages.kind import Job
from ddb.store import Store
from ddb.training import predictions
from ddb.training.classifier import load_classifier, predict
from ddb.training.networks import HEADS, NETWORKS, build_network

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())
SMALL = CDPMSettings(channels=(16, 16), steps=20, batch_size=8, warmup_steps=2, engine="ddp")
VALUES = {
    "dataset": {"image_size": 8},
    "cdpm": SMALL.recorded(),
    "sampling": {"images_per_class": 6, "sampler_steps": 8},
    "amplifier": {"steps": 12, "batch_size": 16},
    "training": {"steps": 12, "batch_size": 16, "evaluate_every": 6},
    "methods": {name: {} for name in METHODS},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, one_thread):
    """An experiment with a cell of every method, computed in this process; the probe trains for 12 steps."""
    graph, store = build_graph(resolve(VALUES)), Store(tmp_path_factory.mktemp("runs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "SETTINGS", probe.SETTINGS.model_copy(update={"steps": 12}))
        for stage in graph.stages():
            with store.produce(stage) as work:
                KINDS[stage.name].compute(Job(stage, store, work, lambda *progress: None))
                work.numbers["device"] = "cpu"
    return graph, store


def changed(name, numbers, code):
    """What differs from golden.json, and what to do about it; empty if nothing does."""
    golden = GOLDEN.get(name, {"code": None, "numbers": None})
    if code == golden["code"] and numbers == pytest.approx(golden["numbers"], rel=1e-3):
        return ""
    found = json.dumps({"code": code, "numbers": numbers})
    return (
        f"{name}: {found}. If this is meant, increase the version of what changed among {', '.join(code)}, and write "
        "it into golden.json"
    )


def ramp(values):
    """A weighted mean, in which the order counts."""
    values = np.asarray(values, np.float64).ravel()
    return float(values @ np.linspace(0.5, 1.5, len(values)) / len(values))


def read(path, name):
    return json.loads((path / f"{name}.json").read_text())


def logits_of(path, data):
    """The logits of a saved classifier on the test images, in one number."""
    return ramp(predict(load_classifier(path), prepared.read(data)["test"]).abs())


NUMBERS = {  # kind -> numbers of a result in the folder `path`, whose data set is in `data`
    "data": lambda path, data: [ramp(prepared.read(path)["train"].images), ramp(prepared.read(path)["train"].labels)],
    "cdpm": lambda path, data: [json.loads(line)["loss"] for line in (path / "losses.jsonl").read_text().splitlines()],
    "synthetic": lambda path, data: [ramp(synthetic.read(path).images)],
    "probe": lambda path, data: [logits_of(path / name, data) for name in ("class", "bias")],
    "alignment": lambda path, data: [
        read(path, "alignment")[name] for name in ("aligned_share_seen", "right_class_share")
    ],
    "amplifier": lambda path, data: [ramp(Signals.read(path / "signals.parquet").loss), read(path, "quality")["auroc"]],
    "classifier": lambda path, data: [logits_of(path, data)],
    "evaluation": lambda path, data: [
        ramp(np.abs(np.stack(predictions.read(path / "predictions.parquet", "test")["logits"]))),
        read(path, "metrics")["average_accuracy"],
    ],
}


OUTSIDE = ("file", "generated")  # what they read is not made here
ELSEWHERE = ("imported_cdpm", "features", "amplifier", "classifier", "evaluation")  # they have tests of their own


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ELSEWHERE])
def test_every_kind_of_stage(finished, name):
    graph, store = finished
    stage = next(stage for stage in graph.stages() if stage.name == name)
    assert not changed(name, NUMBERS[name](store.path(stage), store.path(graph.data)), stage.code)


@pytest.mark.parametrize("source", [name for name in SOURCES if name not in OUTSIDE])
def test_every_source_of_signals(finished, source):
    graph, store = finished
    if source not in ("synthetic", "real"):
        values = VALUES | {"methods": {"ddb_two_step": {"amplifier": {"source": source}}}, "memorisation": False}
        graph = build_graph(resolve(values))
        (stage,) = (run.stage for run in graph.amplifiers.values())
        with store.produce(stage) as work:
            KINDS[stage.name].compute(Job(stage, store, work, lambda *progress: None))
    (stage,) = (run.stage for run in graph.amplifiers.values() if run.source == source)
    assert not changed(f"source {source}", NUMBERS["amplifier"](store.path(stage), store.path(graph.data)), stage.code)


def test_features(tmp_path):
    """Of 16 random images, by a network with random weights."""
    random = np.random.default_rng(0)
    for number in range(16):
        path = tmp_path / "images" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    torch.manual_seed(0)
    torch.save(models.get_model("mobilenet_v3_small", weights=None).state_dict(), tmp_path / "weights.pt")
    values = {
        "dataset": {"name": "folder", "root": str(tmp_path / "images"), "image_size": 8},
        "features": {"encoder": "mobilenet_v3_small", "weights": str(tmp_path / "weights.pt")},
        "training": {"network": "linear"},
        "methods": {"erm": {}},
        "memorisation": False,
    }
    graph, store = build_graph(resolve(values)), Store(tmp_path / "runs")
    for stage in graph.stages("features"):
        with store.produce(stage) as work:
            KINDS[stage.name].compute(Job(stage, store, work, lambda *progress: None))
    path = store.path(stage)
    numbers = [ramp(pq.read_table(path / "train.parquet")[layer].to_pylist()) for layer in table.layers(path)]
    assert len(numbers) == 4 and not changed("features", numbers, stage.code)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_and_its_evaluation(finished, method):
    graph, store = finished
    cell = next(cell for cell in graph.cells if cell.method == method)
    (trained,) = NUMBERS["classifier"](store.path(cell.classifier), store.path(graph.data))
    evaluated = NUMBERS["evaluation"](store.path(cell.stage), store.path(graph.data))
    assert trained == pytest.approx(evaluated[0], rel=1e-5)
    assert not changed(method, evaluated, cell.classifier.code | cell.stage.code)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network(name):
    x = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
    if name in HEADS:
        x = x.flatten(1)[:, :16]
    with torch.no_grad():
        output = build_network(name, 5, key=3, inputs=16).eval()(x)
    assert not changed(name, [ramp(output.abs())], {name: NETWORKS[name]})


def test_the_unet():
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 3 * 8 * 8).reshape(1, 3, 8, 8)
    with torch.no_grad():
        output = build_denoiser(SMALL, 8, 10).eval()(x, torch.tensor(400), class_labels=torch.tensor([3])).sample
    assert not changed("unet", [ramp(output.abs())], {"unet": DENOISERS["unet"].version})


@pytest.mark.parametrize(("name", "steps"), [("dpm_solver", 8), ("ancestral", 150)])
def test_every_sampler(name, steps):
    torch.manual_seed(0)
    pipeline = CDPMPipeline(build_denoiser(SMALL, 8, 10).eval(), noise_schedule(SMALL))
    images = synthetic.generate(pipeline, [1, 2], [0, 1], 0, SamplingSettings(sampler=name, sampler_steps=steps), 2)
    assert not changed(name, [ramp(images)], {name: SAMPLERS[name].version})


def test_a_number_or_a_version_that_differs_is_reported_with_the_way_out():
    golden = GOLDEN["data"]
    other = [golden["numbers"][0] * 1.002, golden["numbers"][1]]
    assert "increase the version of what changed among data" in changed("data", other, golden["code"])
    assert changed("data", golden["numbers"], golden["code"] | {"data": 99}) and changed("mine", [1.0], {"mine": 1})
    assert not changed("data", golden["numbers"], golden["code"])


def test_everything_that_has_a_version_has_a_golden_number():
    named = {name for entry in GOLDEN.values() for name in entry["code"]}
    sources = {f"source {name}" for name in SOURCES if name not in OUTSIDE}
    computing = {*KINDS} - {"imported_cdpm"}  # which copies
    assert named >= {*computing, *METHODS, *NETWORKS, *SAMPLERS, *DENOISERS, *sources}
