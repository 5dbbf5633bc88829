"""What `lazy import torch` will be in Python 3.15 (PEP 810), for the Pythons before it.

    from ddb.lazy import np, torch

Importing torch takes seconds, and neither planning an experiment nor printing its table needs it. The smaller ones
take together as long as planning a thousand stages. `lazy("torchvision.io")` makes one that is not here.
"""

import importlib
from typing import TYPE_CHECKING, Any


class LazyModule:
    """Stands for a module, which is imported when one of its names is first asked for."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


def lazy(name: str) -> Any:
    """The module of that name, not imported yet."""
    return LazyModule(name)


if TYPE_CHECKING:
    import diffusers
    import numpy as np
    import pandas as pd
    import PIL
    import pyarrow as pa
    import pyarrow.parquet as pq
    import safetensors.torch as safetensors
    import torch
    from PIL import Image
    from torch import Tensor, nn
    from torchvision import models
else:
    np, pd, pa, pq = lazy("numpy"), lazy("pandas"), lazy("pyarrow"), lazy("pyarrow.parquet")
    PIL, Image, diffusers = lazy("PIL"), lazy("PIL.Image"), lazy("diffusers")
    torch, nn, models, safetensors = (
        lazy(name) for name in ("torch", "torch.nn", "torchvision.models", "safetensors.torch")
    )
    Tensor = Any  # for annotations alone
