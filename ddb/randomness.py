"""Random numbers as functions of what they are for: (purpose, seed, step, position), never of what ran before.

Both identity contracts rest on this file. A training step draws from (seed, step, position in the global batch), so
ranks can take slices of it and a resumed run continues the trajectory. A synthetic image draws from (seed, class,
index), so batch size, number of actors and restarts do not change it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ddb.lazy import lazy, np

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def derive_seed(purpose: str, *numbers: int) -> int:
    """A 63-bit seed from a purpose and integers; different purposes never share a stream."""
    text = ":".join([purpose, *(str(int(number)) for number in numbers)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def torch_generator(purpose: str, *numbers: int) -> torch.Generator:
    """A CPU generator: the same numbers on every device, since CUDA's streams differ from the CPU's."""
    return torch.Generator().manual_seed(derive_seed(purpose, *numbers))


def numpy_generator(purpose: str, *numbers: int) -> np.random.Generator:
    return np.random.default_rng(derive_seed(purpose, *numbers))
