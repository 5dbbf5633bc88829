"""What `lazy import torch` will be in Python 3.15 (PEP 810), for the Pythons before it.

    if TYPE_CHECKING:
        import torch
    else:
        torch = lazy("torch")

Importing torch takes seconds, and neither planning an experiment nor printing its table needs it. The smaller ones at
the end, which most files name, take together as long as planning a thousand stages.
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
    import numpy as np
    import PIL
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image
else:
    np, pa, pq = lazy("numpy"), lazy("pyarrow"), lazy("pyarrow.parquet")
    PIL, Image = lazy("PIL"), lazy("PIL.Image")
