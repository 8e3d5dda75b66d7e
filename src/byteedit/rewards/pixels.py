"""Images on their way into a reward: fitted to its size and normalised; tensors with gradient, or PIL images.

Both ways bring the shorter side to the reward's size with antialiased bicubic and crop the centre, and round sizes as
torchvision does. They differ by what PIL rounds and clips to 8 bits. No models here.
Source: the preprocessing of CLIP, which ImageReward shares.
"""

import torch
import torch.nn.functional as F
from PIL.Image import Resampling
from torch import Tensor

from byteedit.image import resize as resize_pixels
from byteedit.image import to_tensor
from byteedit.reading import read_pictures

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of red, green, blue in [0, 1]
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def resize_and_crop(image: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, size, size) float32: the shorter side resized to `size`, the centre cropped."""
    target = scaled(*image.shape[-2:], size)
    rows, columns = centre(*target, size)
    return resize(image, target)[..., rows, columns]


def read(picture, size: int) -> Tensor:
    """What `resize_and_crop` makes, of one PIL image, by PIL's own resizing: (3, size, size) in [-1, 1]."""
    pixels = read_pictures(picture)[0].pixels  # (H, W, 3)
    height, width = scaled(*pixels.shape[:2], size)
    rows, columns = centre(height, width, size)
    resized = resize_pixels(pixels, (width, height), Resampling.BICUBIC)
    return to_tensor(resized[None, rows, columns])[0]


def resize(image: Tensor, target: tuple[int, int]) -> Tensor:
    """(B, C, H, W) -> (B, C, *target) float32, antialiased bicubic, as it is where it has that size."""
    check(image)
    if tuple(image.shape[-2:]) == tuple(target):
        return image.float()
    return F.interpolate(image.float(), target, mode="bicubic", antialias=True)


def residual(image: Tensor, gain: float) -> Tensor:
    """tanh(gain (x - the mean of 3 x 3 around it)), (B, 3, H, W) twice; at the border, of what there is."""
    return torch.tanh(gain * (image - _sums(image) / _sums(torch.ones_like(image[:1, :1]))))


def _sums(image: Tensor) -> Tensor:
    """Of the 3 x 3 pixels around each, in two passes: on a processor a fifth of the time of `avg_pool2d`."""
    padded = F.pad(image, (1, 1, 1, 1))
    across = padded[..., :-2] + padded[..., 1:-1] + padded[..., 2:]
    return across[..., :-2, :] + across[..., 1:-1, :] + across[..., 2:, :]


def scaled(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width once the shorter of them is `size`; the longer is rounded down."""
    shorter = min(height, width)
    return int(size * height / shorter), int(size * width / shorter)


def centre(height: int, width: int, size: int) -> tuple[slice, slice]:
    """Rows and columns of the square of `size` pixels in the middle; a half is rounded to the even number."""
    top, left = round((height - size) / 2), round((width - size) / 2)
    return slice(top, top + size), slice(left, left + size)


def windows(length: int, side: int, overlap: int, patch: int) -> list[tuple[slice, Tensor]]:
    """Parts of `length` pixels, as few as are `side` long at most, and the share (n,) that each has in its pixels.

    Neighbours have `overlap` pixels in common, or a little more, over which one fades into the other; the shares of a
    pixel add up to 1. Every part begins at a multiple of `patch`.
    """
    whole, common = -(-length // patch), -(-overlap // patch)  # patches
    count = max(1, -(-(whole - common) // (side // patch - common)))
    extent = -(-(whole + (count - 1) * common) // count)
    starts = [number * (whole - extent) // max(count - 1, 1) * patch for number in range(count)]
    parts = [slice(start, min(start + extent * patch, length)) for start in starts]
    shares = torch.zeros(count, length)
    for share, part in zip(shares, parts, strict=True):
        inside = torch.arange(part.start, part.stop) + 0.5
        rise = inside - part.start if part.start else torch.full_like(inside, length)
        fall = part.stop - inside if part.stop < length else torch.full_like(inside, length)
        share[part] = torch.minimum(rise, fall).clamp(max=common * patch)
    shares /= shares.sum(dim=0)
    return [(part, share[part]) for part, share in zip(parts, shares, strict=True)]


def check(image: Tensor) -> None:
    """Raise ValueError where `image` is no batch of RGB images."""
    if image.ndim != 4 or image.shape[1] != 3:
        raise ValueError(f"image is {tuple(image.shape)}; rewards take (B, 3, H, W) in [-1, 1].")
