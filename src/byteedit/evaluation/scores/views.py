"""Which picture goes with which words: the whole with the full prompt, the masked part with the mask's prompts.

The two are never mixed: a score of the whole picture says little of a small edit, and the words for a part are wrong
for the whole. Also `Score`, what all scores that are opened by name are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from byteedit.evaluation.benchmarks.case import EditCase
from byteedit.masks import box

__all__ = ["KINDS", "Score", "by_view", "mask_crop", "views"]

KINDS = ("full", "simple", "rich")


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score, opened with `open_score`."""

    about: str
    """What measures, and at which resolution: one line."""

    measure: Callable[[Sequence[EditCase], Sequence[np.ndarray]], list[dict[str, float]]]
    """Numbers by name for each case and the answer to it, (H, W, 3) uint8; or, over a set, one dictionary for all."""

    over_set: bool = False
    """Whether only a whole set has it."""

    weights: str | None = None
    """SHA-256 of the model's weights, where they are on this machine; what other weights scored is scored anew."""


def views(case: EditCase, image: np.ndarray) -> dict[str, tuple[Image.Image, str]]:
    """By kind of prompt, the picture that it speaks of and the prompt: the whole for "full", else the masked part."""
    whole, part = Image.fromarray(image), Image.fromarray(mask_crop(image, case.mask))
    return {kind: (whole if kind == "full" else part, case.prompts[kind]) for kind in KINDS if kind in case.prompts}


def mask_crop(image: np.ndarray, mask: np.ndarray) -> np.ndarray:  # (h, w, C)
    """The part of `image` (H, W, C) around what is white in `mask`: its box, widened to a square where there is room.

    Models look at squares: of a longer box they would see the middle only. Of an empty mask, the whole picture.
    """
    if not (mask > 127).any():
        return image
    left, top, right, bottom = box(mask > 127)
    side = max(right - left, bottom - top)
    (x0, x1), (y0, y1) = _widened(left, right, side, mask.shape[1]), _widened(top, bottom, side, mask.shape[0])
    return image[y0:y1, x0:x1]


def _widened(start: int, stop: int, side: int, room: int) -> tuple[int, int]:
    """start..stop made `side` long about its middle, but within 0..room."""
    side = min(side, room)
    start = min(max((start + stop - side) // 2, 0), room - side)
    return start, start + side


Rate = Callable[[list[Image.Image], list[str]], list[dict[str, float]]]


def by_view(cases: Sequence[EditCase], images: Sequence[np.ndarray], rate: Rate) -> list[dict[str, float]]:
    """Numbers of every view of each case, as "NAME.KIND". `rate` gives numbers by name for pictures with prompts."""
    seen = [views(case, image) for case, image in zip(cases, images, strict=True)]
    pairs = [pair for each in seen for pair in each.values()]
    rated = iter(rate([picture for picture, _ in pairs], [prompt for _, prompt in pairs]))
    return [{f"{name}.{kind}": value for kind in each for name, value in next(rated).items()} for each in seen]
