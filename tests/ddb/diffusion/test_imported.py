"""A CDPM that was trained elsewhere takes the place of training."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ddb.diffusion import synthetic
from ddb.diffusion.denoisers import build_denoiser
from ddb.diffusion.noise_schedules import noise_schedule
from ddb.diffusion.pipeline import CDPMPipeline
from ddb.diffusion.settings import CDPMSettings, SamplingSettings
from ddb.errors import DDBError
from ddb.experiment.config_file import resolve
from ddb.experiment.cost import estimate
from ddb.experiment.graph import build_graph
from ddb.stages import KINDS
from ddb.stages.kind import Job
from ddb.store import Store

VALUES = {
    "dataset": {"image_size": 8},
    "sampling": {"images_per_class": 2, "sampler_steps": 8},
    "amplifier": {"steps": 2},
    "methods": {"ddb_two_step": {"steps": 2}},
    "memorisation": False,
    "seeds": [0, 1],
}


@pytest.fixture
def folder(tmp_path):
    """A network with random weights for ten classes and images of 8 pixels, as diffusers saves it."""
    torch.manual_seed(0)
    unet = build_denoiser(CDPMSettings(channels=(16, 16)), 8, 10).eval()
    CDPMPipeline(unet, noise_schedule(CDPMSettings(process="paper"))).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def graph_of(folder, **changes):
    return build_graph(resolve(VALUES | {"cdpm": {"pipeline": str(folder)}} | changes))


def compute(graph, store, names):
    for stage in graph.stages():
        if stage.name in names:
            with store.produce(stage) as work:
                KINDS[stage.name].compute(Job(stage, store, work, lambda *progress: None))


def test_its_images_are_those_of_the_pipeline_in_the_folder(folder, tmp_path):
    graph, store = graph_of(folder), Store(tmp_path / "runs")
    names = [stage.name for stage in graph.stages()]
    assert names.count("imported_cdpm") == 1 and "cdpm" not in names  # one for both seeds
    compute(graph, store, ("data", "imported_cdpm", "synthetic"))
    first = next(drawn for drawn in graph.synthetic.values() if drawn.seed == 0)
    found = synthetic.read(store.path(first.stage))
    pipeline, settings = CDPMPipeline.from_pretrained(folder), SamplingSettings(sampler_steps=8)
    labels, indices = np.repeat(np.arange(10), 2), np.tile([0, 1], 10)
    assert (found.images == synthetic.generate(pipeline, labels, indices, 0, settings, 64)).all()
    assert {cost.name: cost.stages for cost in estimate(graph, graph.stages())}["synthetic"] == 2


def test_its_content_is_in_the_key_and_its_place_is_not(folder, tmp_path):
    before = graph_of(folder).cells[0].stage.key
    folder.rename(tmp_path / "moved")
    assert graph_of(tmp_path / "moved").cells[0].stage.key == before
    scheduler = tmp_path / "moved" / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"beta_end": 0.02}))
    changed = graph_of(tmp_path / "moved")
    assert changed.cells[0].stage.key != before
    scheduler.write_text("{}")
    with pytest.raises(DDBError, match=r"^pipeline: \S+moved changed while the command ran"):
        compute(changed, Store(tmp_path / "runs"), ("data", "imported_cdpm"))


def test_a_model_for_other_data_or_none_is_one_line(folder, tmp_path):
    for label, name in enumerate(["cat", "dog"] * 10):
        path = tmp_path / "pets" / name / f"{label}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (9 * label, 0, 0)).save(path)
    pets = {"dataset": {"name": "folder", "root": str(tmp_path / "pets"), "image_size": 8}}
    larger = {"dataset": {"image_size": 16}}
    for changes, message in (
        (pets, "num_class_embeds of .* is 11, .* 2 classes, .* needs 3"),
        (larger, "sample_size of .* is 8, .* 16 pixels needs 16"),
    ):
        with pytest.raises(DDBError, match=rf"^cdpm\.pipeline: {message}") as error:
            compute(graph_of(folder, **changes), Store(tmp_path / "runs"), ("data", "imported_cdpm"))
        assert "\n" not in str(error.value)
    with pytest.raises(DDBError, match=r"^cdpm\.pipeline: no folder \S+unet"):
        graph_of(tmp_path)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(DDBError, match=r"^cdpm\.pipeline: \S+ cannot be read: .+") as error:
        compute(graph_of(folder), Store(tmp_path / "runs"), ("data", "imported_cdpm"))
    assert "\n" not in str(error.value)
