import numpy as np
import pytest
import torch

from ddb.diffusion import synthetic
from ddb.diffusion.denoisers import build_denoiser
from ddb.diffusion.noise_schedules import noise_schedule
from ddb.diffusion.pipeline import CDPMPipeline
from ddb.diffusion.settings import CDPMSettings, SamplingSettings


def made(process):
    torch.manual_seed(0)
    settings = CDPMSettings(channels=(16, 16), process=process)
    return CDPMPipeline(build_denoiser(settings, 8, 3).eval(), noise_schedule(settings))


@pytest.fixture(scope="module")
def pipeline():
    return made("fast")


def test_guidance_is_the_papers_formula_on_every_channel(pipeline):
    x, labels, t = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 0]), torch.tensor(500)
    with torch.no_grad():
        conditional = pipeline.unet(x, t, class_labels=labels).sample
        null = pipeline.unet(x, t, class_labels=torch.full((4,), 3)).sample
    guided = pipeline.guided(x, t, labels, 2.0)
    assert torch.allclose(guided, 3 * conditional - 2 * null, atol=1e-5)
    assert torch.equal(pipeline.guided(x, t, labels, 0.0), conditional)
    assert ((guided - conditional).abs().amax((0, 2, 3)) > 1e-3).all()


@pytest.mark.parametrize(("kind", "steps"), [("dpm_solver", 8), ("ancestral", 150)])
def test_an_image_does_not_depend_on_its_batch(pipeline, kind, steps):
    """At one batch shape, a small set is the prefix of a large one bit for bit."""
    settings = SamplingSettings(sampler=kind, sampler_steps=steps)
    labels, indices = np.array([0, 2, 0]), np.array([0, 0, 1])
    together = synthetic.generate(pipeline, labels, indices, 7, settings, 4)
    alone = np.concatenate(
        [synthetic.generate(pipeline, labels[i : i + 1], indices[i : i + 1], 7, settings, 2) for i in range(3)]
    )
    assert np.abs(together.astype(int) - alone).max() <= 1
    assert np.abs(together[0].astype(int) - together[2]).max() > 10  # another index is another image
    assert np.array_equal(synthetic.generate(pipeline, labels[:2], indices[:2], 7, settings, 4), together[:2])


def test_the_noise_is_the_same_in_any_batch_and_at_any_guidance(pipeline, monkeypatch):
    """With a network that predicts zero, an image is a function of its noise alone."""
    monkeypatch.setattr(CDPMPipeline, "guided", lambda self, x, *arguments: torch.zeros_like(x))
    labels, indices = np.repeat([0, 1], 8), np.tile(np.arange(8), 2)
    none, strong = (SamplingSettings(sampler_steps=8, guidance=guidance) for guidance in (0, 7))
    whole = synthetic.generate(pipeline, labels, indices, 5, none, 16)
    parts = [synthetic.generate(pipeline, labels[i : i + 7], indices[i : i + 7], 5, strong, 7) for i in (0, 7, 14)]
    assert np.array_equal(whole, np.concatenate(parts))
    assert len(np.unique(whole.reshape(16, -1), axis=0)) == 16 and whole.std() > 10


@pytest.mark.parametrize("process", ["fast", "paper"])
def test_saved_pipeline_loads_and_samples_the_same(process, tmp_path):
    pipeline = made(process)
    pipeline.save_pretrained(tmp_path)
    loaded = CDPMPipeline.from_pretrained(tmp_path)
    arguments = (np.array([1, 2]), np.array([0, 0]), 0, SamplingSettings(sampler_steps=8), 2)
    assert np.array_equal(synthetic.generate(loaded, *arguments), synthetic.generate(pipeline, *arguments))


def test_parquet_round_trip_keeps_order_and_prefix(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    table = synthetic.to_table(images, np.array([1, 0, 1, 0]), np.array([1, 0, 0, 1]), 3, 1.0)
    synthetic.write(table, tmp_path / "images.parquet")
    whole, prefix = synthetic.read(tmp_path), synthetic.read(tmp_path, images_per_class=1)
    assert whole.paths == ["synthetic/0/0", "synthetic/0/1", "synthetic/1/0", "synthetic/1/1"]
    assert np.array_equal(whole.images, images[[1, 3, 2, 0]]) and np.array_equal(prefix.images, images[[1, 2]])
