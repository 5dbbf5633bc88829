"""The two diffusion processes and their samplers, as diffusers schedulers.

`paper`: 1000 steps, linear betas 1e-4..0.028, noise prediction. `fast`: cosine schedule, v-prediction; it learns the
low-frequency part of an image, where colour-like shortcuts live, many times sooner, since at high noise its loss does
not vanish as noise prediction's does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddb.diffusion.settings import SamplingSettings
from ddb.lazy import lazy, np

if TYPE_CHECKING:
    import diffusers
else:
    diffusers = lazy("diffusers")

SAMPLERS = {"dpm_solver": 1, "ancestral": 1}  # name -> version of its code: increase it if the images would be others

NUM_TIMESTEPS = 1000
PURE_NOISE = 5.1  # log(sigma / alpha) from which DPM-Solver takes an image for pure noise


def noise_schedule(process: str) -> diffusers.DDPMScheduler:
    """The training-time scheduler of `process`, saved with the CDPM; its config tells samplers all they need.

    No clipping of the predicted image and the larger posterior variance (beta_t), as in the ancestral sampler that the
    paper's process comes with.
    """
    common = {"num_train_timesteps": NUM_TIMESTEPS, "clip_sample": False, "variance_type": "fixed_large"}
    if process == "paper":
        return diffusers.DDPMScheduler(
            beta_start=1e-4, beta_end=0.028, beta_schedule="linear", prediction_type="epsilon", **common
        )
    return diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", **common)


def sampler(schedule: diffusers.DDPMScheduler, settings: SamplingSettings) -> Any:
    """A fresh sampler over `settings.sampler_steps` steps; it holds state, so every batch takes its own.

    DPM-Solver++(2M) bounds the predicted image to [-1, 1]: threshold and largest value coincide, so diffusers' dynamic
    thresholding is a plain clip.
    """
    chosen: Any
    if settings.sampler == "ancestral":
        chosen, bound = diffusers.DDPMScheduler.from_config(schedule.config), np.inf
    else:
        chosen = diffusers.DPMSolverMultistepScheduler.from_config(
            schedule.config, thresholding=True, sample_max_value=1.0
        )
        bound = PURE_NOISE
    chosen.set_timesteps(timesteps=even_timesteps(schedule, settings.sampler_steps, bound))
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
