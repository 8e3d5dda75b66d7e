"""The losses: what rewards learn from, what is learnt from rewards, and how the latter is differentiated in parts.

Source: ByteEdit (arXiv 2404.04860), Eqs. 1 to 3, 5 and 6; hinge as UniFL (2404.05595), linear as DRaFT (2309.17400).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "coherence_loss",
    "differentiate_in_parts",
    "feature_loss",
    "pixel_loss",
    "preference_loss",
    "reward_loss",
]


def preference_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Bradley-Terry, Eqs. 1 and 5: -log P(chosen beats rejected). Scores (B,), (B,) -> ()."""
    return -F.logsigmoid(chosen - rejected).mean()


def coherence_loss(logits: Tensor, real: Tensor) -> Tensor:
    """Eq. 6, mean over pixels: -log s(R_g(z)) where real, -log(1 - s(R_g(z'))) where not. (B, 1, H, W) twice -> ()."""
    return F.binary_cross_entropy_with_logits(logits, real)


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


def differentiate_in_parts(x0: Tensor, terms: Callable[..., dict[str, Tensor]], part: int) -> dict[str, Tensor]:
    """Mean terms of `x0` rows, whose "loss" has its gradient, though only `part` rows' graph is held at a time.

    `terms(x0 rows, slice)` is differentiated with respect to its rows at once; what is returned is a loss of the same
    value whose gradient is the one found. So a decoder and rewards cost the memory of one picture.
    """
    gradients, sums = [], {}
    for first in range(0, len(x0), part or len(x0)):
        rows = slice(first, min(first + (part or len(x0)), len(x0)))
        leaf = x0[rows].detach().requires_grad_()
        with torch.enable_grad():
            found = {name: term * (len(leaf) / len(x0)) for name, term in terms(leaf, rows).items()}
        gradients += torch.autograd.grad(found["loss"], leaf)
        for name, term in found.items():
            sums[name] = sums.get(name, 0) + term.detach()
    surrogate = (x0 * torch.cat(gradients)).sum()
    return sums | {"loss": sums["loss"] + surrogate - surrogate.detach()}
