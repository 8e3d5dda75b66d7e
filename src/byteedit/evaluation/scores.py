"""What one output of PictureBench is worth: numbers for one case, each named once and for all.

`score` gives a flat dictionary per case, so that two systems can be compared case by case later; intervals over cases
are the business of `byteedit.evaluation.report`. Everything is measured on 8-bit pixels of the whole page. numpy only.
"""

import numpy as np

from byteedit.evaluation.judge import judge
from byteedit.evaluation.picturebench import Case

__all__ = ["border_contrast", "psnr", "score"]

CEILING = 60.0  # dB: what an exact match is given


def score(case: Case, image: np.ndarray) -> dict:
    """All that is measured on `image` (128, 128, 3) uint8, the output for `case`.

    Every task: `seam` and `seam_true`, the contrast across the mask's border here and in the true picture.
    Where a thing is asked for: `right`, and its parts `class` and `colour`, all False where no thing is found.
    Erasing: `psnr` in the mask, `no_object`. Outpainting without prompt: `psnr` in the new area.

    Raises:
        ValueError: the output is not of the page's size.
    """
    if image.shape != case.picture.shape or image.dtype != np.uint8:
        raise ValueError(f"{case.id}: the output is {image.shape} {image.dtype}, expected {case.picture.shape} uint8.")
    return {
        "id": case.id,
        "task": case.task,
        "held_out": case.held_out,
        "prompt": case.prompt,
        "seam": border_contrast(image, case.mask),
        "seam_true": border_contrast(case.picture, case.mask),
        **(_against_truth(case, image) if case.target is None else _against_wish(case, image)),
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


def psnr(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over the pixels inside `mask` (H, W), all channels alike; at most 60."""
    difference = image[mask > 127].astype(float) - truth[mask > 127]
    error = float((difference**2).mean())
    return min(10 * np.log10(255**2 / error), CEILING) if error else CEILING


def border_contrast(image: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute difference (0..255, over channels) of all pairs of neighbours of which one lies inside the mask.

    Neighbours share an edge. Over the same in the true picture, summed over cases, it is the *seam contrast*:
    1 where the border looks as it does in the true picture, more where a seam shows.
    """
    image, inside = image.astype(np.float32), mask > 127
    across = np.abs(np.diff(image, axis=1)).mean(-1)[inside[:, 1:] != inside[:, :-1]]
    down = np.abs(np.diff(image, axis=0)).mean(-1)[inside[1:] != inside[:-1]]
    return float(np.concatenate([across, down]).mean())
