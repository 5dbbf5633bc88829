"""The two diffusion processes and their samplers, as diffusers schedulers.

`paper`: 1000 steps, linear betas 1e-4..0.028, noise prediction. `fast`: cosine schedule, v-prediction; it learns the
low-frequency part of an image, where colour-like shortcuts live, many times sooner, since at high noise its loss does
not vanish as noise prediction's does.
"""

from diffusers import DDPMScheduler, DPMSolverMultistepScheduler

from ddb.diffusion.settings import SamplingSettings

NUM_TIMESTEPS = 1000


def noise_schedule(process: str) -> DDPMScheduler:
    """The training-time scheduler of `process`, saved with the CDPM; its config tells samplers all they need.

    No clipping of the predicted image and the larger posterior variance (beta_t), as in the ancestral sampler that the
    paper's process comes with.
    """
    common = {"num_train_timesteps": NUM_TIMESTEPS, "clip_sample": False, "variance_type": "fixed_large"}
    if process == "paper":
        return DDPMScheduler(
            beta_start=1e-4, beta_end=0.028, beta_schedule="linear", prediction_type="epsilon", **common
        )
    return DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", **common)


def sampler(schedule: DDPMScheduler, settings: SamplingSettings):
    """A fresh sampler over `settings.sampler_steps` steps; it holds state, so every batch takes its own.

    DPM-Solver++(2M) bounds the predicted image to [-1, 1]: threshold and largest value coincide, so diffusers' dynamic
    thresholding is a plain clip.
    """
    if settings.sampler == "ancestral":
        chosen = DDPMScheduler.from_config(schedule.config)
    else:
        chosen = DPMSolverMultistepScheduler.from_config(
            schedule.config, thresholding=True, sample_max_value=1.0, timestep_spacing="trailing"
        )
    chosen.set_timesteps(settings.sampler_steps)
    return chosen
