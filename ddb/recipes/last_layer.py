"""The last layer of a classifier on its own: its inputs as vectors, and another one in its place."""

from __future__ import annotations

from ddb.data import Split
from ddb.data.loading import ImageTransform
from ddb.lazy import Tensor, nn, torch
from ddb.training.classifier import predict
from ddb.training.networks import last_layer


def embeddings(model: nn.Module, split: Split, transform: ImageTransform) -> Tensor:
    """What the last layer gets for every image, (N, D) float32 on the CPU; the model is in evaluation mode."""
    kept: list[Tensor] = []
    hook = last_layer(model).register_forward_pre_hook(lambda module, given: kept.append(given[0].float().cpu()))
    predict(model, split, transform)
    hook.remove()
    return torch.cat(kept)


def replace_last_layer(model: nn.Module, weight: Tensor, bias: Tensor) -> None:
    """Overwrite the last layer with (C, D) and (C,)."""
    layer = last_layer(model)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
