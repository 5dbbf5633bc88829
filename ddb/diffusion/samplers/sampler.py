"""What a sampler is: one of diffusers' schedulers, and the timesteps at which it calls the denoiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ddb.lazy import diffusers, np


@dataclass(frozen=True)
class Sampler:
    """A way from noise to images."""

    scheduler: Callable[[diffusers.DDPMScheduler], Any]  # noise schedule -> a scheduler of diffusers
    fewest_steps: int  # fewer leave a spread of fine detail that is off by more than 5 % (results/samplers/study.py)
    draws_noise: bool = False  # at every step, beside the noise that it starts from
    pure_noise: float = float("inf")  # log(sigma / alpha) from which it takes an image for pure noise
    version: int = 1  # increase it if the images would be others

    def over(self, schedule: diffusers.DDPMScheduler, steps: int) -> Any:
        """A fresh scheduler over `steps` timesteps; it holds state, so every batch takes its own."""
        chosen = self.scheduler(schedule)
        chosen.set_timesteps(timesteps=even_timesteps(schedule, steps, self.pure_noise))
        return chosen


def even_timesteps(schedule: diffusers.DDPMScheduler, steps: int, bound: float = float("inf")) -> list[int]:
    """`steps` timesteps, descending to 0, even in the log signal-to-noise ratio (DPM-Solver, Lu et al., section 3.3).

    They begin at pure noise: the last timestep, or the first whose log(sigma / alpha) passes `bound`. Timesteps that
    are even in time, as the field's schedulers space them, take so large a last step that fine detail is lost: 15 of
    them keep 79 % of the spread where these keep 103 % (`results/samplers/study.py`).
    """
    noise = np.log(((1 - schedule.alphas_cumprod.double()) / schedule.alphas_cumprod.double()).numpy()) / 2  # (T,)
    first = min(int(np.searchsorted(noise, bound)), len(noise) - 1)
    wanted = np.linspace(noise[first], noise[0], steps)  # (S,)
    found = np.rint(np.interp(wanted, noise, np.arange(len(noise)))).astype(int)
    for step in reversed(range(steps - 1)):  # the ratio changes so fast near 0 that some coincide
        found[step] = max(found[step], found[step + 1] + 1)
    return np.minimum(found, len(noise) - 1 - np.arange(steps)).tolist()
