"""How much of an image's fine detail a sampler keeps, measured where the right answer is known.

    python results/samplers/study.py          # prints the table in results/README.md

Data from N(m, s^2) has an exact predictor: with x_t = a x_0 + b e,

    E[x_0 | x_t] = m + a s^2 (x_t - a m) / (a^2 s^2 + b^2).

A perfect sampler ends with standard deviation s. s = 0.15, with pixels in [-1, 1], is texture; too few or badly spaced
steps flatten it (below 100 %), or the ancestral sampler leaves noise in it (above).
"""

import torch

from ddb.diffusion.noise_schedules import PREDICTIONS, noise_schedule
from ddb.diffusion.samplers import SAMPLERS
from ddb.diffusion.settings import CDPMSettings, SamplingSettings

MEAN, TEXTURE = 0.2, 0.15
STEPS = {"dpm_solver": (8, 10, 15, 20, 25, 50), "ancestral": (150, 250, 500, 1000)}


def gaussian(
    cdpm: CDPMSettings, settings: SamplingSettings, std: float = TEXTURE, number: int = 20_000
) -> torch.Tensor:
    """`number` samples, float64, of N(MEAN, std^2) by the sampler of `settings` with the exact predictor."""
    schedule, generator = noise_schedule(cdpm), torch.Generator().manual_seed(0)
    sampler = SAMPLERS[settings.sampler]
    run = sampler.over(schedule, settings.sampler_steps)
    more = {"generator": generator} if sampler.draws_noise else {}
    predicted = PREDICTIONS[cdpm.diffusion_process[1]]
    x = torch.randn(number, 1, 1, 1, generator=generator, dtype=torch.float64)
    for timestep in run.timesteps:
        signal = schedule.alphas_cumprod[timestep].double()
        a, b = signal.sqrt(), (1 - signal).sqrt()
        clean = MEAN + a * std**2 * (x - a * MEAN) / (a**2 * std**2 + b**2)
        noise = (x - a * clean) / b
        prediction = predicted(schedule, clean, noise, timestep)
        x = run.step(prediction, timestep, x, **more).prev_sample.double()
    return x.flatten()


if __name__ == "__main__":
    print("| sampler | steps | process fast | process paper |\n|---|---:|---:|---:|")
    for name, counts in STEPS.items():
        for steps in counts:
            settings = SamplingSettings(sampler=name, sampler_steps=steps)
            kept = [
                f"{(gaussian(CDPMSettings(process=process), settings).std() / TEXTURE).item():.1%}"
                for process in ("fast", "paper")
            ]
            print(f"| {name} | {steps} | " + " | ".join(kept) + " |")
