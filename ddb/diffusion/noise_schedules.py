"""How much noise each timestep has, and what the denoiser predicts; `PROCESSES` names the pairs in use.

`paper`: linear betas 1e-4..0.028, noise prediction. `fast`: cosine schedule, v-prediction; it learns the low-frequency
part of an image, where colour-like shortcuts live, many times sooner, since at high noise its loss does not vanish as
noise prediction's does. If you change an entry, increase the version of the stage kind `cdpm`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddb.lazy import diffusers

if TYPE_CHECKING:
    from ddb.diffusion.settings import CDPMSettings

NUM_TIMESTEPS = 1000
NOISE_SCHEDULES: dict[str, dict[str, Any]] = {  # name -> settings of diffusers' scheduler
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.028},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
}
PREDICTIONS = {  # diffusers' name -> (schedule, clean images, noise, timesteps) -> what the denoiser learns to predict
    "epsilon": lambda schedule, clean, noise, timestep: noise,
    "v_prediction": lambda schedule, clean, noise, timestep: schedule.get_velocity(clean, noise, timestep),
    "sample": lambda schedule, clean, noise, timestep: clean,
}
PROCESSES = {"fast": ("cosine", "v_prediction"), "paper": ("linear", "epsilon")}  # name -> schedule, prediction


def noise_schedule(settings: CDPMSettings) -> diffusers.DDPMScheduler:
    """The training-time scheduler, saved with the CDPM; its config tells samplers all they need.

    No clipping of the predicted image and the larger posterior variance (beta_t), as in the ancestral sampler that the
    paper's process comes with.
    """
    schedule, prediction = settings.diffusion_process
    values: dict[str, Any] = {"prediction_type": prediction, "clip_sample": False, "variance_type": "fixed_large"}
    return diffusers.DDPMScheduler(NUM_TIMESTEPS, **values, **NOISE_SCHEDULES[schedule])
