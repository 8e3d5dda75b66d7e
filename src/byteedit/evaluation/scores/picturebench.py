"""What one output of PictureBench is worth: numbers for one case, each named once and for all.

`judged` gives a flat dictionary per case, so that two systems can be compared case by case later; `summarise` makes
figures of many. Everything is measured on 8-bit pixels of the whole page. numpy only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from byteedit.evaluation import TASKS
from byteedit.evaluation.figures import Figure, mean, rate
from byteedit.evaluation.judge import judge
from byteedit.evaluation.marks import marks, quality
from byteedit.evaluation.picturebench import Case
from byteedit.evaluation.scores.pixels import border_contrast, extra_contrast, psnr

__all__ = ["judged", "summarise"]


def judged(case: Case, image: np.ndarray) -> dict[str, Any]:
    """All that the gold judge says of `image` (128, 128, 3) uint8, the output for `case`.

    Every task: `seam` and `seam_true`, the contrast across the mask's border here and in the true picture; the marks
    that the task has, `structure`, `aesthetics`, `coherence`, and their mean `quality`, in [1, 5].
    Where a thing is asked for: `right`, and its parts `class` and `colour`, all False where no thing is found; how much
    of the changes the thing explains, `explained`, and what it is in words, `seen`, None where none is found.
    Erasing: `psnr` in the mask, `no_object`. Outpainting without prompt: `psnr` in the new area.

    Raises:
        ValueError: the output is not of the page's size.
    """
    given = marks(case, image)
    return {
        "seam": border_contrast(image, case.mask),
        "seam_true": border_contrast(case.picture, case.mask),
        **(_against_truth(case, image) if case.target is None else _against_wish(case, image)),
        **{axis: mark for axis, mark in vars(given).items() if mark is not None},
        "quality": quality(given),
    }


def _against_wish(case: Case, image: np.ndarray) -> dict:
    seen = judge(case, image)
    kind, colour = seen.kind == case.target.kind, seen.colour == case.target.colour
    return {
        "right": seen.found and kind and colour,
        "class": seen.found and kind,
        "colour": seen.found and colour,
        "seen": f"{seen.colour} {seen.kind}" if seen.found else None,
        "explained": round(seen.explained, 4),
    }


def _against_truth(case: Case, image: np.ndarray) -> dict:
    measured = {"psnr": psnr(image, case.picture, case.mask)}
    return measured | ({"no_object": not judge(case, image).found} if case.task == "erasing" else {})


def summarise(scores: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """PictureBench's figures from what was `judged`: "editing.right", "erasing.psnr" and so on.

    Each has its case's `task` and `held_out` beside it. A seam is the mean `extra_contrast`, in levels (0..255). A
    figure of which no case was scored is left out.
    """
    edits, erased, extended = ([s for s in scores if s["task"] == t] for t in TASKS)
    rates = {
        "editing.right": [s["right"] for s in edits],
        "editing.class": [s["class"] for s in edits],
        "editing.colour": [s["colour"] for s in edits],
        "editing.right_heldout": [s["right"] for s in edits if s["held_out"]],
        "editing.right_seen": [s["right"] for s in edits if not s["held_out"]],
        "erasing.no_object": [s["no_object"] for s in erased],
        "outpainting.found": [s["right"] for s in extended if "right" in s],
    }
    means = {
        "erasing.psnr": [s["psnr"] for s in erased],
        "outpainting.psnr": [s["psnr"] for s in extended if "psnr" in s],
        "editing.seam": [extra_contrast(s["seam"], s["seam_true"]) for s in edits],
        "erasing.seam": [extra_contrast(s["seam"], s["seam_true"]) for s in erased],
        "outpainting.seam": [extra_contrast(s["seam"], s["seam_true"]) for s in extended],
    }
    return {key: rate(values) for key, values in rates.items() if values} | {
        key: mean(values) for key, values in means.items() if values
    }
