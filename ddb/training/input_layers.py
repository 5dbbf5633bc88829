"""First layers that convert a network's input: images to ImageNet's normalisation, feature vectors to equal scales."""

import torch
from torch import Tensor, nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in [0, 1]


class ImageNetInput(nn.Module):
    """A backbone that takes images in [-1, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] to logits (B, C)."""
        return self.backbone(((images + 1) / 2 - self.mean) / self.std)


class Standardise(nn.Module):
    """Subtracts the mean of every feature and divides by its standard deviation, as `fit` found them."""

    mean: Tensor
    std: Tensor

    def __init__(self, inputs: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("std", torch.ones(inputs))

    def fit(self, features: Tensor) -> None:
        """Learn from (N, D); a constant feature is only centred."""
        std, mean = torch.std_mean(features, 0, correction=0)  # (D,) each
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) to (B, D)."""
        return (features - self.mean) / self.std
