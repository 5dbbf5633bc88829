"""Diffusing DeBias (Ciranni et al., NeurIPS 2025): the method, in plain PyTorch.

Rooms in the order in which data flows: `data` -> `diffusion` or `features` -> `signals` -> `recipes` -> `report`.
Nothing here imports Ray; `ray_jobs` runs these stages on a cluster.

    found = ddb.results("configs/colored_digits.yaml", "runs")      # pandas data frames (`ddb.experiment.results`)
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`results` is imported when it is first asked for: a submodule that needs little does not wait for it."""
    if name == "results":
        from ddb.experiment.results import results

        return results
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
