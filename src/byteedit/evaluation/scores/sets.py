"""How far a set of answers is from a set of real pictures: Frechet and kernel distances of what a model sees in them.

Pictures are the masked parts. Any features do; CLIP's are taken, which makes what is called CLIP-FID and CLIP-KID, and
compares with its like only: the classical Inception's weights are a conversion from another framework, to be fetched.
The Frechet distance of small sets is biased upwards, the kernel distance is not.
Sources: FID (arXiv 1706.08500), KID (arXiv 1801.01401), CLIP features for either (arXiv 2203.06026).
"""

from collections.abc import Sequence

import numpy as np
import torch

from byteedit.rewards import CLIPReward
from byteedit.rewards.pixels import read
from byteedit.rewards.scoring import batches, evaluating

__all__ = ["clip_features", "frechet_distance", "kernel_distance"]


def clip_features(reward: CLIPReward, pictures: Sequence, batch_size: int = 16) -> np.ndarray:  # (n, D) float64
    """CLIP's embeddings of PIL images of any sizes, as long as they come."""
    rows = []
    with evaluating(reward):
        for some in batches(pictures, batch_size):
            image = torch.stack([read(picture, reward.size) for picture in some]).to(reward.device)
            rows.append(reward.see(image).double().cpu().numpy())  # (B, D)
    return np.concatenate(rows)


def frechet_distance(made: np.ndarray, real: np.ndarray) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C C')^1/2) of two sets of features (n, D), (n', D), taken for Gaussian; 0 or more.

    Raises:
        ValueError: a set has fewer than two rows.
    """
    _check(made, real)
    a, b = ((rows - rows.mean(0)) / np.sqrt(len(rows) - 1) for rows in (made, real))  # C = a^T a, C' = b^T b
    roots = np.linalg.svd(np.linalg.qr(a, "r") @ np.linalg.qr(b, "r").T, compute_uv=False)  # of C C', without its noise
    apart = ((made.mean(0) - real.mean(0)) ** 2).sum()
    return float(max(apart + (a**2).sum() + (b**2).sum() - 2 * roots.sum(), 0))


def kernel_distance(made: np.ndarray, real: np.ndarray) -> float:
    """The squared maximum mean discrepancy of two sets of features (n, D), (n', D), unbiased, so it may be below 0.

    With KID's kernel, (x y / D + 1)^3, over all pairs rather than over random subsets of them.

    Raises:
        ValueError: a set has fewer than two rows.
    """
    _check(made, real)
    width = made.shape[1]
    own = [(rows @ rows.T / width + 1) ** 3 for rows in (made, real)]
    within = [(kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)) for kernel in own]
    return float(sum(within) - 2 * ((made @ real.T / width + 1) ** 3).mean())


def _check(made: np.ndarray, real: np.ndarray) -> None:
    if min(len(made), len(real)) < 2:
        raise ValueError(f"sets of {len(made)} and {len(real)} pictures came; a distance of sets needs two in each.")
