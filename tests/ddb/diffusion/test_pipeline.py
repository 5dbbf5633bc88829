import numpy as np
import pytest
import torch

from ddb.diffusion import synthetic
from ddb.diffusion.network import build_unet
from ddb.diffusion.pipeline import CDPMPipeline
from ddb.diffusion.process import noise_schedule, sampler
from ddb.diffusion.settings import CDPMSettings, SamplingSettings
from ddb.errors import DDBError
from ddb.settings import build


@pytest.fixture(scope="module", params=["fast", "paper"])
def pipeline(request):
    torch.manual_seed(0)
    return CDPMPipeline(build_unet(CDPMSettings(channels=(16, 16)), 8, 3).eval(), noise_schedule(request.param))


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
    settings = SamplingSettings(sampler=kind, sampler_steps=steps)
    labels, indices = np.array([0, 1, 2, 1, 0]), np.array([0, 0, 0, 1, 1])
    together = synthetic.generate(pipeline, labels, indices, 7, settings, 8)
    alone = np.concatenate(
        [synthetic.generate(pipeline, labels[i : i + 1], indices[i : i + 1], 7, settings, 2) for i in range(5)]
    )
    assert np.abs(together.astype(int) - alone).max() <= 1
    assert np.abs(together[0].astype(int) - together[4]).max() > 10  # another index is another image


@pytest.fixture
def noises(pipeline, monkeypatch):
    """The initial noise of every batch, (B, 3, H, W), as the pipeline draws it."""
    seen, first = [], sampler(pipeline.scheduler, SamplingSettings(sampler_steps=8)).timesteps[0]
    original = CDPMPipeline.guided

    def guided(self, x, timestep, labels, guidance):
        if timestep == first:
            seen.append(x.clone())
        return original(self, x, timestep, labels, guidance)

    monkeypatch.setattr(CDPMPipeline, "guided", guided)
    return seen


def test_noise_is_the_same_bit_for_bit_in_any_batch_and_at_any_guidance(pipeline, noises):
    labels, indices = np.repeat([0, 1], 8), np.tile(np.arange(8), 2)
    for guidance, batch in ((1.0, 64), (1.0, 7), (0.0, 16), (7.0, 16)):
        settings = SamplingSettings(sampler_steps=8, guidance=guidance)
        for start in range(0, 16, batch):
            chosen = slice(start, start + batch)
            synthetic.generate(pipeline, labels[chosen], indices[chosen], 5, settings, batch)
    whole = noises[0][:16]
    sevens = torch.cat([noises[1], noises[2], noises[3][:2]])
    assert len(noises) == 6
    assert all(torch.equal(whole, other) for other in (sevens, noises[4], noises[5]))
    assert len(torch.unique(whole.flatten(1), dim=0)) == 16


def test_a_small_set_is_the_prefix_of_a_large_one(pipeline):
    """Three images per class against five, at one batch shape: the shared ones are equal bit for bit."""
    settings, sets = SamplingSettings(sampler_steps=8), {}
    for per_class in (3, 5):
        labels, indices = np.repeat([0, 1, 2], per_class), np.tile(np.arange(per_class), 3)
        images = synthetic.generate(pipeline, labels, indices, 0, settings, 16)
        sets[per_class] = {(c, i): image for c, i, image in zip(labels, indices, images, strict=True)}
    assert all(np.array_equal(image, sets[5][key]) for key, image in sets[3].items())


def test_saved_pipeline_loads_and_samples_the_same(pipeline, tmp_path):
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


def test_negative_guidance_is_refused_by_name():
    with pytest.raises(DDBError, match=r"sampling\.guidance: .* greater than or equal to 0"):
        build(SamplingSettings, {"guidance": -1}, "sampling")


def test_too_many_resolutions_are_refused_by_name():
    with pytest.raises(DDBError, match=r"cdpm\.channels: 4 resolutions"):
        build_unet(CDPMSettings(channels=(16, 16, 16, 16)), 12, 2)
