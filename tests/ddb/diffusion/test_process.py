import numpy as np
import pytest

from ddb.diffusion.process import NUM_TIMESTEPS, PURE_NOISE, even_timesteps, noise_schedule, sampler
from ddb.diffusion.settings import SamplingSettings
from ddb.errors import DDBError
from ddb.settings import build
from tests.studies import study

PROCESSES = ["fast", "paper"]
SAMPLERS = study("samplers")


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize(
    ("kind", "steps"),
    [("dpm_solver", 8), ("dpm_solver", 15), ("dpm_solver", 50), ("ancestral", 150), ("ancestral", 1000)],
)
def test_samplers_reproduce_a_gaussian(process, kind, steps):
    """The fewest steps that are allowed, the defaults and the paper's: 95 to 105 % of the spread, at the right mean."""
    found = SAMPLERS.gaussian(process, SamplingSettings(sampler=kind, sampler_steps=steps))
    assert found.mean().item() == pytest.approx(SAMPLERS.MEAN, abs=0.01)
    assert found.std().item() == pytest.approx(SAMPLERS.TEXTURE, rel=0.05)
    coarse = SAMPLERS.gaussian(process, SamplingSettings(sampler=kind, sampler_steps=steps), std=0.5)
    assert coarse.std().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("kind", ["dpm_solver", "ancestral"])
def test_every_number_of_steps_gives_so_many_falling_timesteps(process, kind):
    """61 and 103 are among those at which even spacing in time rounds to one step too many, at timestep -1."""
    fewest = 8 if kind == "dpm_solver" else 150
    for steps in {fewest, 61, 103, 999, 1000, *range(fewest, 1000, 37)}:
        if steps < fewest:
            continue
        found = sampler(noise_schedule(process), SamplingSettings(sampler=kind, sampler_steps=steps)).timesteps.numpy()
        assert len(found) == steps and (np.diff(found) < 0).all()
        assert found[-1] == 0 and found[0] < NUM_TIMESTEPS


@pytest.mark.parametrize("process", PROCESSES)
def test_timesteps_are_even_in_the_log_ratio(process):
    """In the middle, where rounding to whole timesteps is small against their distance."""
    schedule = noise_schedule(process)
    signal = schedule.alphas_cumprod.double().numpy()
    ratio = np.log(signal / (1 - signal))[even_timesteps(schedule, 15, PURE_NOISE)]
    assert np.diff(ratio)[4:10] == pytest.approx(np.diff(ratio)[4:10].mean(), rel=0.05)


def test_the_ancestral_sampler_of_the_paper_takes_every_timestep():
    found = sampler(noise_schedule("paper"), SamplingSettings(sampler="ancestral", sampler_steps=1000)).timesteps
    assert found.tolist() == list(range(999, -1, -1))


@pytest.mark.parametrize("values", [{"sampler_steps": 7}, {"sampler": "ancestral", "sampler_steps": 149}])
def test_too_few_steps_are_refused(values):
    with pytest.raises(DDBError, match=r"sampling.*sampler_steps|sampling.*149 are too few"):
        build(SamplingSettings, values, "sampling")
