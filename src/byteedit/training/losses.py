"""The losses of feedback learning: of a reward, of pixels and of features.

Source: ByteEdit (arXiv 2404.04860), Eqs. 2 and 3; hinge as UniFL (2404.05595), linear as DRaFT (2309.17400).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["feature_loss", "pixel_loss", "reward_loss"]


def reward_loss(score: Tensor, shape: str = "logistic", margin: float = 2.0, counts: Tensor | None = None) -> Tensor:
    """Eq. 2, -log s(R), which is softplus(-R); or its hinge or linear form. Standardised scores (B,) -> ().

    counts (B,) in {0, 1}: rows that count; the others add 0 to the mean.
    """
    each = {"logistic": F.softplus(-score), "hinge": F.relu(margin - score), "linear": -score}[shape]
    return (each if counts is None else each * counts).mean()


def pixel_loss(edited: Tensor, image: Tensor, weight: Tensor) -> Tensor:
    """Eq. 3, L_reg = |x - x0'|_1 with images in [0, 1], the mean where `weight` (B, 1, H, W) is 1.

    edited, image (B, 3, H, W) in [-1, 1] -> ().
    """
    difference = (edited - image).abs().mean(1, keepdim=True) / 2  # (B, 1, H, W)
    return (difference * weight).sum() / weight.sum().clamp_min(1)


def feature_loss(edited: list[Tensor], image: list[Tensor], counts: Tensor | None = None) -> Tensor:
    """Eq. 3, L_vgg = |V(x) - V(x0')|_1, the mean over each layer's features, then over layers. (B, ...) twice -> ().

    counts (B,) in {0, 1}: rows that count; the others add 0 to the mean.
    """
    layers = [(a - b).abs() for a, b in zip(edited, image, strict=True)]
    if counts is not None:
        layers = [layer.flatten(1).mean(1) * counts for layer in layers]
    return torch.stack([layer.mean() for layer in layers]).mean()
