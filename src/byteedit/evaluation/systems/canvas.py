"""A case at the one size at which a baseline works, and its answer back at the case's own.

The baselines see the whole picture, stretched to the model's size, as their authors' benchmarks have it. Ours needs
none of this, it works in a window. No models here.
"""

from typing import Literal

import numpy as np
import torch
from PIL import Image
from PIL.Image import Resampling

from byteedit.evaluation.benchmarks.case import EditCase

__all__ = ["Paste", "from_model", "noise", "to_model"]

Paste = Literal["no", "yes"]
"""Whether what lies outside the mask is pasted back from the picture; published baselines do not."""

Size = tuple[int, int]  # width, height


def to_model(case: EditCase, size: Size) -> tuple[Image.Image, Image.Image]:
    """Picture and mask of a case at `size`: antialiased, and by nearest neighbour."""
    picture = Image.fromarray(case.page).resize(size, Resampling.LANCZOS)
    return picture, Image.fromarray(case.mask).resize(size, Resampling.NEAREST)


def from_model(made: Image.Image, case: EditCase, paste: Paste) -> np.ndarray:  # (H, W, 3) uint8
    """A model's answer, antialiased to the case's own size."""
    mask = case.mask
    image = np.asarray(made.convert("RGB").resize(mask.shape[::-1], Resampling.LANCZOS))
    return image if paste == "no" else np.where(mask[..., None] > 127, image, case.page)


def noise(case: EditCase) -> torch.Generator:
    """Where the noise for a case comes from: the processor's generator, the same on every device."""
    return torch.Generator().manual_seed(case.seed)
