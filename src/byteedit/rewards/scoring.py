"""Rewards asked for numbers: PIL images in batches, without gradient and dropout."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import PIL.Image
import torch
from torch import nn

from byteedit.rewards.pixels import read


def batches(items: Sequence, size: int) -> Iterator[Sequence]:
    """The items in order, `size` at a time.

    Raises:
        ValueError: `size` is less than 1.
    """
    if size < 1:
        raise ValueError(f"batch_size is {size}; it must be 1 or more.")
    for first in range(0, len(items), size):
        yield items[first : first + size]


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


def score(model, images: Sequence, prompts: Sequence[str], batch_size: int) -> list[float]:
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
            image = torch.stack([read(images[i], model.size) for i in part]).to(model.device)
            scores += model.rate(image, [prompts[i] for i in part]).tolist()
    return scores
