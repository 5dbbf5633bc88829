"""The input of torchvision's backbones: images in [-1, 1] become ImageNet's normalisation."""

import torch
from torch import Tensor, nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in [0, 1]


class ImageNetInput(nn.Module):
    """A backbone that takes images in [-1, 1]."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] to logits (B, C)."""
        return self.backbone(((images + 1) / 2 - self.mean) / self.std)
