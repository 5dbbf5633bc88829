"""Dropout whose masks are functions of (seed, step, position in the global batch), as all else that training draws.

    masks = PositionalDropout(network, (3, 64, 64))     # in the place of torch's Dropout modules
    masks.draw(seed, step, positions)                   # before the network sees that step's batch

torch's own Dropout draws from one stream for the whole batch, so the same settings on two workers would train another
network than on one. Here every position has a generator, which draws the bits of all layers at once: as many calls per
step as there are images, whatever the number of layers.
"""

from itertools import pairwise

import torch
from torch import nn

from ddb.randomness import torch_generator

LEVELS = 2**16  # a bit is kept where a random 16-bit number is below the kept share of these


class PositionalDropout:
    """The masks of one network's dropout layers, for the images of one step on one rank."""

    def __init__(self, network: nn.Module, shape: tuple[int, int, int]):
        """Replaces every active Dropout in `network`, which is fed one empty image of `shape` (C, H, W) for its sizes.

        The network must be on the CPU and take (images, timestep, class_labels=...), as diffusers' UNet2DModel.
        """
        found = [
            (parent, name, child)
            for parent in network.modules()
            for name, child in parent.named_children()
            if isinstance(child, nn.Dropout) and child.p > 0
        ]
        self._layers = [_Layer(child.p) for _, _, child in found]
        for (parent, name, _), layer in zip(found, self._layers, strict=True):
            setattr(parent, name, layer)
        with torch.no_grad():
            network(torch.zeros(1, *shape), 0, class_labels=torch.zeros(1, dtype=torch.long))
        ends = [0]
        for layer in self._layers:
            ends.append(ends[-1] + layer.size)
        self._places = [slice(*pair) for pair in pairwise(ends)]  # of each layer among an image's bits
        self._words = -(-ends[-1] // 4)  # of 64 bits, for 16 per bit

    def draw(self, seed: int, step: int, positions: range, device: torch.device) -> None:
        """Set the masks for a batch whose rows are `positions` of step `step`'s global batch."""
        numbers = torch.empty(len(positions), self._words, dtype=torch.int64, device=device)
        for row, position in zip(numbers, positions, strict=True):
            generator = torch_generator("dropout", seed, step, position, device=device)
            row.random_(-(2**63), None, generator=generator)  # all 64 bits
        numbers = numbers.view(torch.int16)  # (b, 4 * words)
        for layer, place in zip(self._layers, self._places, strict=True):
            layer.keep = numbers[:, place] < layer.threshold  # (b, C * H * W) bool


class _Layer(nn.Module):
    """One dropout layer: x * keep / (kept share)."""

    def __init__(self, p: float):
        super().__init__()
        kept = round((1 - p) * LEVELS)
        self.threshold = kept - LEVELS // 2  # of signed numbers
        self.scale = LEVELS / kept
        self.size = 0  # elements of one image
        self.keep: torch.Tensor | None = None  # None before the first step: everything is kept

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, C, H, W) to the same."""
        self.size = x[0].numel()
        if not self.training or self.keep is None:
            return x
        return x * self.keep.view(x.shape) * self.scale
