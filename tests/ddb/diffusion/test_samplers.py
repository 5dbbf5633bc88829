import numpy as np
import pytest

from ddb.diffusion.noise_schedules import NUM_TIMESTEPS, noise_schedule
from ddb.diffusion.samplers import SAMPLERS, even_timesteps
from ddb.diffusion.settings import CDPMSettings, SamplingSettings
from ddb.errors import DDBError
from ddb.settings import build
from tests.studies import study

PROCESSES = [
    CDPMSettings(),
    CDPMSettings(process="paper"),
    CDPMSettings(prediction_type="sample"),
    CDPMSettings(noise_schedule="linear"),
]
STUDY = study("samplers")


@pytest.mark.parametrize("process", PROCESSES, ids=lambda each: "-".join(each.diffusion_process))
@pytest.mark.parametrize(
    ("kind", "steps"),
    [("dpm_solver", 8), ("dpm_solver", 15), ("dpm_solver", 50), ("ancestral", 150), ("ancestral", 1000)],
)
def test_samplers_reproduce_a_gaussian(process, kind, steps):
    """The fewest steps that are allowed, the defaults and the paper's: 95 to 105 % of the spread, at the right mean."""
    found = STUDY.gaussian(process, SamplingSettings(sampler=kind, sampler_steps=steps))
    assert found.mean().item() == pytest.approx(STUDY.MEAN, abs=0.01)
    assert found.std().item() == pytest.approx(STUDY.TEXTURE, rel=0.05)
    coarse = STUDY.gaussian(process, SamplingSettings(sampler=kind, sampler_steps=steps), std=0.5)
    assert coarse.std().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda each: "-".join(each.diffusion_process))
@pytest.mark.parametrize("kind", ["dpm_solver", "ancestral"])
def test_every_number_of_steps_gives_so_many_falling_timesteps(process, kind):
    """61 and 103 are among those at which even spacing in time rounds to one step too many, at timestep -1."""
    fewest = SAMPLERS[kind].fewest_steps
    for steps in {fewest, 61, 103, 999, 1000, *range(fewest, 1000, 37)}:
        if steps < fewest:
            continue
        found = SAMPLERS[kind].over(noise_schedule(process), steps).timesteps.numpy()
        assert len(found) == steps and (np.diff(found) < 0).all()
        assert found[-1] == 0 and found[0] < NUM_TIMESTEPS


@pytest.mark.parametrize("process", PROCESSES, ids=lambda each: "-".join(each.diffusion_process))
def test_timesteps_are_even_in_the_log_ratio(process):
    """In the middle, where rounding to whole timesteps is small against their distance."""
    schedule = noise_schedule(process)
    signal = schedule.alphas_cumprod.double().numpy()
    ratio = np.log(signal / (1 - signal))[even_timesteps(schedule, 15, SAMPLERS["dpm_solver"].pure_noise)]
    assert np.diff(ratio)[4:10] == pytest.approx(np.diff(ratio)[4:10].mean(), rel=0.05)


def test_the_ancestral_sampler_of_the_paper_takes_every_timestep():
    found = SAMPLERS["ancestral"].over(noise_schedule(CDPMSettings(process="paper")), 1000).timesteps
    assert found.tolist() == list(range(999, -1, -1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sampler_steps": 7}, "sampling: sampler_steps: dpm_solver needs at least 8, not 7"),
        ({"sampler": "ancestral", "sampler_steps": 149}, "sampling: sampler_steps: ancestral needs at least 150, not"),
    ],
)
def test_too_few_steps_are_refused(values, message):
    with pytest.raises(DDBError, match=message):
        build(SamplingSettings, values, "sampling")


def test_a_process_stands_for_a_noise_schedule_and_a_prediction_type():
    """Written out or as a preset, it is the same training, with the same key; another pair has another."""
    preset, written = CDPMSettings(), CDPMSettings(noise_schedule="cosine", prediction_type="v_prediction")
    assert preset.hashed() == written.hashed() and preset.hashed()["process"] == "fast"
    same = CDPMSettings(process="paper", noise_schedule="cosine", prediction_type="v_prediction")
    assert same.hashed() == preset.hashed()
    other = CDPMSettings(process="paper", prediction_type="sample")
    assert other.diffusion_process == ("linear", "sample") and "process" not in other.hashed()
    assert noise_schedule(other).config["prediction_type"] == "sample"
    with pytest.raises(DDBError, match=r"cdpm.noise_schedule: unknown value; did you mean 'cosine'\? \(got 'cosin'\)"):
        build(CDPMSettings, {"noise_schedule": "cosin"}, "cdpm")
