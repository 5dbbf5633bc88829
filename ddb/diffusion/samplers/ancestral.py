"""Ancestral sampling (DDPM, Ho et al. 2020, algorithm 2), as the paper's authors sample: 1,000 steps."""

from __future__ import annotations

from typing import Any

from ddb.diffusion.samplers.sampler import Sampler
from ddb.lazy import diffusers


def _scheduler(schedule: diffusers.DDPMScheduler) -> Any:  # a DDPMScheduler
    return diffusers.DDPMScheduler.from_config(schedule.config)


ANCESTRAL = Sampler(_scheduler, fewest_steps=150, draws_noise=True)
