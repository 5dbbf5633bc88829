"""From noise to images, one file per sampler. A new one is a file with a `Sampler`, and one line in `SAMPLERS`."""

from ddb.diffusion.samplers.ancestral import ANCESTRAL
from ddb.diffusion.samplers.dpm_solver import DPM_SOLVER
from ddb.diffusion.samplers.sampler import Sampler, even_timesteps

SAMPLERS: dict[str, Sampler] = {"dpm_solver": DPM_SOLVER, "ancestral": ANCESTRAL}

__all__ = ["SAMPLERS", "Sampler", "even_timesteps"]
