"""Convolutions in the place of a ViT's patch embedding, for towers that are trained from new weights on little data.

One linear map of a patch learns colours at once and shapes very slowly; a few convolutions see both. Published towers
have no stem. Source: "Early Convolutions Help Transformers See Better" (arXiv 2106.14881).
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

__all__ = ["Stem", "build_stem"]

GROUP = 8  # channels of a group that is normalised together


class Stem(nn.Sequential):
    """(B, C, H, W) -> (B, D, H / patch, W / patch)."""

    @property
    def weight(self) -> Tensor:
        """The first layer's weights, whose precision towers ask for."""
        return self[0].weight


def build_stem(widths: Sequence[int], hidden_size: int, patch_size: int, channels: int = 3) -> Stem:
    """A stem that halves both sides with each convolution, from `channels` to each of `widths`, then to `hidden_size`.

    Raises:
        ValueError: that many halvings do not make patches of `patch_size`.
    """
    if 2 ** len(widths) != patch_size:
        raise ValueError(f"stem_widths is {list(widths)}; patches of {patch_size} take one width for each halving.")
    layers = []
    for narrow, wide in pairwise((channels, *widths)):
        convolution = nn.Conv2d(narrow, wide, 3, stride=2, padding=1)
        layers += [convolution, nn.GroupNorm(wide // GROUP, wide), nn.GELU()]
    return Stem(*layers, nn.Conv2d(widths[-1], hidden_size, 1))
