"""Stage 2 of a rollout: every row is denoised, without gradient, to the steps at which it gets one.

Which steps these are, and what is done there, is `pefl`'s. Source: ByteEdit (arXiv 2404.04860), "Boost".
"""

import torch
from torch import Tensor, nn

from byteedit.diffusion import Condition, rollout

__all__ = ["approach"]


@torch.no_grad()
def approach(
    unet: nn.Module, scheduler, condition: Condition, latents: Tensor, timesteps: Tensor, points: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Denoise every row to its points, without gradient; a row that has passed its last one is left out.

    latents (B, 4, h, w) at the first of timesteps (S,), points (B, K) in 1..S counted from the end. Returns, for N = BK
    points, the latents there (N, 4, h, w), their steps (N,) and their rows (N,), the noisiest steps first.
    """
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    left = torch.arange(len(latents), device=latents.device)

    def visit(step: int, latents: Tensor) -> Tensor:
        """Keep the latents of rows that have a point here; tells which have more to come."""
        here = (points[left] == step).any(1)
        found.append((latents[here], torch.full_like(left[here], step), left[here]))
        return (points[left] < step).any(1)

    def on_step(i: int, t: Tensor, latents: Tensor, condition: Condition):
        nonlocal left
        more = visit(len(timesteps) - i - 1, latents)
        left = left[more]
        return latents[more], condition.rows(more) if more.any() else None

    points = points.to(latents.device)
    more = visit(len(timesteps), latents)
    left = left[more]
    if more.any():
        rollout(unet, scheduler, condition.rows(more), latents[more], timesteps, on_step=on_step)
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))
