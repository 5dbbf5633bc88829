"""Diffusing DeBias (Ciranni et al., NeurIPS 2025): the method, in plain PyTorch.

Rooms in the order in which data flows: `data` -> `diffusion` -> `amplifier` -> `recipes` -> `metrics` -> `report`.
Nothing here imports Ray; `ray_jobs` runs these stages on a cluster.
"""

__version__ = "0.1.0"
