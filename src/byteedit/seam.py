"""No seam between what was generated and what was kept: a decoded picture is corrected before it is pasted in.

Two faults make a seam. The autoencoder shifts colours, which shows wherever the picture is known; and what the model
puts inside the mask does not quite go on from what lies outside, which shows as a step at the mask's border. Both are
measured where they show and carried smoothly into the hole, as Poisson image editing does (Perez et al., 2003), in one
pass over a pyramid. All pictures are (B, C, H, W) in [-1, 1], masks (B, 1, H, W) in {0, 1}. No models here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["close_seam", "match_colours"]

LARGEST_SHIFT = 0.25  # of colour, in [-1, 1]; trained autoencoders are off by 0.02 to 0.07
LARGEST_STEP = 0.5  # at the border, in [-1, 1]; larger ones are outlines
TEXTURE = 0.25  # share of the picture's own contrast between neighbours below which a step is no seam
NEARBY = 17  # pixels across, where that contrast is looked up


def match_colours(decoded: Tensor, image: Tensor, mask: Tensor, cell: int) -> Tensor:
    """Take the autoencoder's colour shift out of a decoded picture.

    Where the picture is known, one latent `cell` away from the mask, the shift is image - decoded. A constant shift
    vanishes altogether; a perfect decode stays as it is, bit for bit; and so does one that is off by more than
    `LARGEST_SHIFT` on average, since that is no matter of colour.
    """
    columns = F.max_pool2d(mask, (1, 2 * cell + 1), stride=1, padding=(0, cell))
    known = 1 - F.max_pool2d(columns, (2 * cell + 1, 1), stride=1, padding=(cell, 0))
    shift = (image - decoded) * known
    off = shift.abs().mean(dim=(1, 2, 3), keepdim=True) > LARGEST_SHIFT * known.mean(dim=(1, 2, 3), keepdim=True)
    return decoded + torch.where(off, 0, _carry(shift, known))


def close_seam(decoded: Tensor, image: Tensor, mask: Tensor, cell: int) -> Tensor:
    """Take the step at the mask's border out of the masked part of a decoded picture; the rest stays.

    The step at a masked pixel is what its kept neighbours in `image` show, less what it shows itself, averaged along
    the border over half a latent `cell`. It is reduced by `TEXTURE` times the mean difference of neighbours in the kept
    picture around, so that texture stays texture. Larger steps than `LARGEST_STEP` are taken for a thing's outline.
    """
    kept = 1 - mask
    beside = _neighbours(kept) * mask  # how many neighbours are kept
    step = (_neighbours(image * kept) - decoded * beside) * mask / beside.clamp_min(1)  # (B, C, H, W)
    seam = (beside > 0) * (step.abs().amax(1, keepdim=True) < LARGEST_STEP).float()  # (B, 1, H, W)
    step = _local_mean(step, seam, cell // 4 * 2 + 1)
    step = step.sign() * (step.abs() - TEXTURE * _contrast(image, kept)).clamp_min(0) * seam
    return decoded + torch.where(seam > 0, step, _carry(step, seam)) * mask


def _neighbours(x: Tensor) -> Tensor:
    """The sum over the pixels above, below, left and right; nothing lies beyond the picture's edge."""
    wide = F.pad(x, (1, 1, 1, 1))
    return wide[..., :-2, 1:-1] + wide[..., 2:, 1:-1] + wide[..., 1:-1, :-2] + wide[..., 1:-1, 2:]


def _local_mean(x: Tensor, weight: Tensor, width: int) -> Tensor:
    """The weighted mean of `x` over squares of `width` pixels; 0 where nothing weighs."""
    total = torch.cat([x * weight, weight], dim=1)
    for kernel in ((1, width), (width, 1)):
        total = F.avg_pool2d(total, kernel, stride=1, padding=(kernel[0] // 2, kernel[1] // 2))
    return total[:, :-1] / total[:, -1:].clamp_min(1e-6)


def _contrast(image: Tensor, kept: Tensor) -> Tensor:  # (B, 1, H, W)
    """The mean difference, over channels, of neighbouring kept pixels around each pixel."""
    total, pairs = torch.zeros_like(kept), torch.zeros_like(kept)
    for axis, padding in ((-1, (0, 1, 0, 0)), (-2, (0, 0, 0, 1))):
        both = kept.narrow(axis, 1, kept.shape[axis] - 1) * kept.narrow(axis, 0, kept.shape[axis] - 1)
        total = total + F.pad(image.diff(dim=axis).abs().mean(1, keepdim=True) * both, padding)
        pairs = pairs + F.pad(both, padding)
    return _local_mean(total / pairs.clamp_min(1), pairs, NEARBY)


def _carry(shift: Tensor, known: Tensor) -> Tensor:
    """What is known in places, carried everywhere: near values weigh most, far ones are heard where no near one is.

    A weighted mean, sum_l 4^-l U(P_l(k d)) / sum_l 4^-l U(P_l(k)) with `shift` d where `known` k is 1, and 0 elsewhere;
    P_l is the mean over squares of 2^l pixels, U the smooth enlargement. 0 where nothing is known.
    """
    levels = [torch.cat([shift, known], dim=1)]
    while max(levels[-1].shape[-2:]) > 1:
        levels.append(F.avg_pool2d(levels[-1], 2, ceil_mode=True, count_include_pad=False))
    total = levels.pop()
    for level in levels[:0:-1]:
        total = level + F.interpolate(total, size=level.shape[-2:], mode="bilinear") / 4
    total, weight = F.interpolate(total, size=shift.shape[-2:], mode="bilinear").split([shift.shape[1], 1], dim=1)
    return total / weight.clamp_min(1e-12)
