"""The arithmetic in which a classifier trains.

fp32, tf32 (a GPU rounds the factors of products to 10 bits) or bf16 (8 bits, by autocast). Weights, gradients and
losses stay fp32 in each. On a CPU tf32 is fp32.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from ddb.lazy import torch

Precision = Literal["fp32", "tf32", "bf16"]


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Within the block, products on a GPU are in TF32 or are not, whatever torch's defaults are."""
    kinds: tuple[Any, Any] = (torch.backends.cuda.matmul, torch.backends.cudnn)  # of matrices, of convolutions
    before = [each.allow_tf32 for each in kinds]
    for each in kinds:
        each.allow_tf32 = allowed
    try:
        yield
    finally:
        for each, value in zip(kinds, before, strict=True):
            each.allow_tf32 = value


def deterministic(only: bool) -> None:
    """Whether a GPU must avoid algorithms whose sums have no fixed order; if not, cuDNN tries which is the fastest."""
    if only:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # cuBLAS reads it when it begins
    torch.use_deterministic_algorithms(only, warn_only=True)
    torch.backends.cudnn.benchmark = not only
