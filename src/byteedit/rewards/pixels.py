"""Images on their way into a reward: fitted to its size and normalised; tensors with gradient, or PIL images.

Both ways bring the shorter side to the reward's size with antialiased bicubic and crop the centre, and round sizes as
torchvision does. They differ by what PIL rounds and clips to 8 bits. No models here.
Source: the preprocessing of CLIP, which ImageReward shares.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import PIL.Image
import torch
import torch.nn.functional as F
from PIL.Image import Resampling
from torch import Tensor, nn

from byteedit.image import resize as resize_pixels
from byteedit.image import to_tensor
from byteedit.reading import read_pictures

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of red, green, blue in [0, 1]
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def fit(image: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, size, size) float32: the shorter side resized to `size`, the centre cropped."""
    target = scaled(*image.shape[-2:], size)
    rows, columns = centre(*target, size)
    return resize(image, target)[..., rows, columns]


def read(picture, size: int) -> Tensor:
    """What `fit` makes, of one PIL image, by PIL's own resizing: (3, size, size) in [-1, 1]."""
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


def normalize(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Images in [-1, 1] less `mean`, over `std`, which are of red, green and blue in [0, 1]."""
    mean, std = (image.new_tensor(values)[:, None, None] for values in (mean, std))
    return (0.5 * image + 0.5 - mean) / std


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


def batches(items: Sequence, size: int) -> Iterator[Sequence]:
    """The items in order, `size` at a time.

    Raises:
        ValueError: `size` is less than 1.
    """
    if size < 1:
        raise ValueError(f"batch_size is {size}; it must be 1 or more.")
    for first in range(0, len(items), size):
        yield items[first : first + size]


def check(image: Tensor) -> None:
    """Raise ValueError where `image` is no batch of RGB images."""
    if image.ndim != 4 or image.shape[1] != 3:
        raise ValueError(f"image is {tuple(image.shape)}; rewards take (B, 3, H, W) in [-1, 1].")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """No gradient and no dropout within; afterwards every module is in the mode it was in."""
    training = [module for module in model.modules() if module.training]
    try:
        with torch.no_grad():
            yield model.eval()
    finally:
        for module in training:
            module.training = True


def check_list(images: Sequence) -> None:
    """Raise ValueError for a picture where a list of them is expected."""
    if isinstance(images, PIL.Image.Image):
        raise ValueError("One picture came; give a list of them.")


def score(model, images: Sequence, prompts: Sequence[str], *, size: int, batch_size: int) -> list[float]:
    """`model.rate` of PIL images of any sizes with a prompt for each, in batches, without gradient and dropout.

    Raises:
        ValueError: `images` is no list, there is not one prompt for each, or `batch_size` is less than 1.
    """
    check_list(images)
    if isinstance(prompts, str) or len(images) != len(prompts):
        what = "one string" if isinstance(prompts, str) else f"{len(prompts)} prompts"
        raise ValueError(f"{len(images)} images came with {what}; give a list with a prompt for each image.")
    scores = []
    with evaluating(model):
        for part in batches(range(len(images)), batch_size):
            image = torch.stack([read(images[i], size) for i in part]).to(model.device)
            scores += model.rate(image, [prompts[i] for i in part]).tolist()
    return scores
