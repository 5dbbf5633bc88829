"""DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): draws no noise after the first, and needs few steps.

It bounds the predicted image to [-1, 1]: threshold and largest value coincide, so diffusers' dynamic thresholding is a
plain clip.
"""

from __future__ import annotations

from typing import Any

from ddb.diffusion.samplers.sampler import Sampler
from ddb.lazy import diffusers


def _scheduler(schedule: diffusers.DDPMScheduler) -> Any:  # a DPMSolverMultistepScheduler
    return diffusers.DPMSolverMultistepScheduler.from_config(schedule.config, thresholding=True, sample_max_value=1.0)


DPM_SOLVER = Sampler(_scheduler, fewest_steps=8, pure_noise=5.1)
