"""The gold judge's marks from 1 to 5, as the paper's experts give them: structure, aesthetics and coherence.

Rules only: nothing here has learned. `measure` compares what was generated with the best clean explanation of it, the
known background with the thing that the judge sees, and `marks` turns what it finds into marks. The rules are written
out in docs/gold-judge.md; the constants were set on the validation split alone. numpy only.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from byteedit.evaluation.judge import RIM, STRENGTH, Page, Verdict, judge, wrongness
from byteedit.evaluation.picturebench import Case
from byteedit.evaluation.scores.pixels import border_contrast, extra_contrast
from byteedit.masks import dilate
from byteedit.picturebook import COLOURS, Thing
from byteedit.picturebook.sprites import sprite

__all__ = ["HALF", "SAME", "Marks", "marks", "measure", "quality"]

WHOLE = 0.8  # share of the changes that a drawing must explain for the thing to be whole
LIKENESS = 0.25  # what a thing is worth that a flat blob explains as well
BEYOND = 0.3  # the share of what the blob leaves over that a drawing must explain for a thing to be worth all of it
EDGE = 2  # pixels along the mask's border that aesthetics leaves to coherence
DEEP = 3  # pixels inside the border where its contrast is compared with
BAND = 8  # pixels inside the border in which the background must go on
BIN = 8  # levels of a channel that count as one colour
FAINT = 4.0  # levels: smaller steps between neighbours hardly show
SPREAD = 4.0  # levels by which the brightness of one region differs between pages of one place
TIE = 0.3  # marks: the least difference in quality that decides
SAME = {"structure_aesthetics": 0.06, "coherence": 0.04, "alignment": 0.5}
"""Marks by which two answers must differ for one to win in a comparison; else they are the same. As among the paper's
votes, a quarter of pairs is: so it is of pairs of validation answers by one model from two noises. Alignment is 0 or 1.
"""
HALF = {
    "colour": 11.0,
    "brightness": 20.0,
    "edges": 1.4,
    "speckle": 5.0,
    "seam": 2.6,
    "continuation": 0.22,
}
"""How much of each fault halves what a picture can earn beyond 1 on the fault's axis."""

AESTHETIC = ("colour", "brightness", "edges", "speckle")


@dataclass(frozen=True, kw_only=True)
class Marks:
    """Marks in [1, 5], higher is better."""

    structure: float
    """How much of the region a clean drawing explains: of the thing asked for, or of the background alone."""

    aesthetics: float | None
    """Colours, brightness, crisp edges, no speckle. None for erasing, where the paper gives none."""

    coherence: float
    """No seam along the mask's border, and a background that goes on across it."""


def marks(case: Case, image: np.ndarray) -> Marks:
    """Marks for `image` (128, 128, 3) uint8, the output for `case`. Only what lies inside the mask counts.

    Raises:
        ValueError: the output is not of the page's size.
    """
    found = measure(case, image)
    thing = found["thing"] if case.target else 1 - found["thing"]
    kept = {fault: 0.5 ** (found[fault] / half) for fault, half in HALF.items() if fault in found}
    return Marks(
        structure=1 + 4 * thing * found["rest"],
        aesthetics=None if case.task == "erasing" else 1 + 4 * math.prod(kept[fault] for fault in AESTHETIC),
        coherence=1 + 4 * kept["seam"] * kept["continuation"],
    )


def quality(given: Marks) -> float:
    """The mean mark, in [1, 5], over the axes that the task has."""
    return float(np.mean([mark for mark in vars(given).values() if mark is not None]))


def measure(case: Case, image: np.ndarray) -> dict[str, float]:
    """What the marks are made from: `thing` and `rest` in [0, 1], and for each fault of `HALF` an amount from 0 up.

    `thing`: how much like a clean drawing the thing is: the one asked for, or any, where none should be.
    `rest`: how much of the other pixels the known background explains. Aesthetic faults are left out when erasing.
    """
    if image.shape != case.picture.shape or image.dtype != np.uint8:
        raise ValueError(f"{case.id}: the output is {image.shape} {image.dtype}, expected {case.picture.shape} uint8.")
    inside = case.mask > 127
    image = np.where(inside[..., None], image, case.background)
    seen = judge(case, image)
    faults = {} if case.task == "erasing" else _aesthetics(case, image, inside, seen)
    return _structure(case, image, inside, seen) | faults | _coherence(case, image, inside, seen)


def _structure(case: Case, image: np.ndarray, inside: np.ndarray, seen: Verdict) -> dict[str, float]:
    if case.target is None:
        return {"thing": _worth(seen), "rest": 1 - _wrong(image, case.background, inside)}
    wished = _wished(case, image, seen)
    rest = inside & ~_around(wished, inside.shape)
    return {"thing": _worth(wished), "rest": 1 - _wrong(image, case.background, rest)}


def _wished(case: Case, image: np.ndarray, seen: Verdict) -> Verdict:
    """The verdict on the thing asked for. Where the judge sees another, that is its rival as a flat blob is."""
    kind, colour = case.target.kind, case.target.colour
    if (seen.kind, seen.colour) == (kind, colour):
        return seen
    page = Page(image, case.background, case.mask)
    wished = page.verdict(*page.refine(kind, colour, seen.side, seen.x, seen.y)[1:])
    return replace(wished, blob=max(wished.blob, seen.explained))


def _worth(seen: Verdict) -> float:
    """How good a thing is, in [0, 1]: what its drawing explains, and less where a flat blob explains as much."""
    left_over = max(1 - seen.blob, 1e-6)
    beyond = np.clip((seen.explained - seen.blob) / left_over / BEYOND, 0, 1)
    there = np.clip(seen.strength / STRENGTH, 0, 1)
    return float(there * np.clip(seen.explained / WHOLE, 0, 1) * (LIKENESS + (1 - LIKENESS) * beyond))


def _coherence(case: Case, image: np.ndarray, inside: np.ndarray, seen: Verdict) -> dict[str, float]:
    band = inside & ~_away(inside, BAND)
    if case.target and seen.found:
        band &= ~_around(seen, inside.shape)
    beside = _seam(case, image, _away(inside, DEEP))
    return {
        "seam": max(_seam(case, image, inside) - beside, 0),
        "continuation": _wrong(_smooth(image), _smooth(case.background), band),
    }


def _seam(case: Case, image: np.ndarray, inside: np.ndarray) -> float:
    """The contrast across a region's border beyond the true picture's, relative to that, or to what is faint."""
    if not inside.any():
        return 0.0
    mask = np.where(inside, 255, 0)
    true = border_contrast(case.picture, mask)
    return extra_contrast(border_contrast(image, mask), true) / (true + FAINT)


def _wrong(image: np.ndarray, clean: np.ndarray, where: np.ndarray) -> float:
    """The share of the pixels `where` (H, W) that are not what a clean page shows there."""
    return _mean(wrongness(image.astype(np.float32) - clean), where)


def _mean(values: np.ndarray, where: np.ndarray) -> float:
    """The mean of values (H, W) over the pixels `where` (H, W); 0 over none."""
    return float(values[where].sum() / max(where.sum(), 1))


def _aesthetics(case: Case, image: np.ndarray, inside: np.ndarray, seen: Verdict) -> dict[str, float]:
    """The faults of what was generated beside a clean page: with the thing that is seen, or else the one asked for."""
    shown, where = seen if seen.found else case.target, _away(inside, EDGE)
    clean = _laid(case.background, shown) if shown else case.background
    thing = where & _around(shown, inside.shape) if shown else where
    smooth, clean_smooth = _smooth(image), _smooth(clean)
    grey, clean_grey = _grey(image), _grey(clean)
    return {
        "colour": _off_palette(smooth[where], clean_smooth),
        "brightness": max(abs(_mean(grey - clean_grey, where)) - SPREAD, 0),
        "edges": max(*_softer(_slope(grey), _slope(clean_grey), where, thing), 0),
        "speckle": max(_apart(image, smooth, where) - _apart(clean, clean_smooth, where), 0),
    }


def _off_palette(pixels: np.ndarray, clean: np.ndarray) -> float:
    """The mean distance of `pixels` (n, 3), in levels beyond one bin, from the page's colours and the book's paints."""
    paints = np.array(list(COLOURS.values()), np.uint8)
    colours, counts = _bins(pixels)  # (u, 3), (u,)
    palette, _ = _bins(np.concatenate([clean.reshape(-1, 3), paints]))  # (p, 3)
    square = (colours**2).sum(1)[:, None] - 2 * colours @ palette.T + (palette**2).sum(1)  # (u, p)
    distance = np.sqrt(np.maximum(square.min(1), 0))
    return float(BIN * (counts * np.maximum(distance - 1, 0)).sum() / max(len(pixels), 1))


def _bins(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # (u, 3) float32, (u,)
    """The colours that occur, in bins of `BIN` levels, and how often."""
    size = (256 // BIN,) * 3
    counts = np.bincount(np.ravel_multi_index(tuple((pixels // BIN).T), size))
    codes = np.flatnonzero(counts)
    return np.stack(np.unravel_index(codes, size), 1).astype(np.float32), counts[codes]


def _slope(grey: np.ndarray) -> np.ndarray:  # (H, W)
    """How much brighter or darker the neighbours to the right and below are, in levels a pixel."""
    across, down = np.diff(grey, axis=1, append=grey[:, -1:]), np.diff(grey, axis=0, append=grey[-1:])
    return np.hypot(across, down)


def _softer(slope: np.ndarray, clean: np.ndarray, *regions: np.ndarray) -> list[float]:
    """How often, in each region, the steepness of a clean page's edges must be halved to get the image's."""
    return [float(np.log2((_steepness(clean[r]) + FAINT) / (_steepness(slope[r]) + FAINT))) for r in regions]


def _steepness(slope: np.ndarray) -> float:
    """How steep the edges are, in levels a pixel, however many: the mean slope, each weighted by its square."""
    return float((slope**3).sum() / max((slope**2).sum(), 1e-6))


def _apart(image: np.ndarray, smooth: np.ndarray, where: np.ndarray) -> float:
    """How far pixels stand out from the median of their neighbours, in levels, on average."""
    return _mean(np.abs(image.astype(np.float32) - smooth).mean(-1), where)


def _smooth(image: np.ndarray) -> np.ndarray:  # (H, W, 3) uint8
    """The median of each pixel and its neighbours, first down, then across: keeps edges, takes specks away."""
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if n == axis else (0, 0) for n in range(3)], mode="edge")
        before, after = (padded[2:], padded[:-2]) if axis == 0 else (padded[:, 2:], padded[:, :-2])
        image = np.clip(image, np.minimum(before, after), np.maximum(before, after))
    return image


def _grey(image: np.ndarray) -> np.ndarray:  # (H, W, 3) uint8 -> (H, W) float32 in [0, 255]
    return image @ np.array((0.299, 0.587, 0.114), np.float32)


def _laid(background: np.ndarray, shown: Verdict | Thing) -> np.ndarray:  # (H, W, 3) uint8
    """The clean page: a thing's drawing, laid over the background."""
    page, drawn = background.astype(np.float32), sprite(shown.kind, shown.colour, shown.side)
    part = page[shown.y : shown.y + shown.side, shown.x : shown.x + shown.side]
    part += drawn[..., 3:] * (drawn[..., :3] - part)
    return (page + 0.5).astype(np.uint8)


def _around(shown: Verdict | Thing, size: tuple[int, int]) -> np.ndarray:  # (H, W) bool
    """The pixels of a thing's drawing and right around it."""
    body = np.zeros(size, np.uint8)
    body[shown.y : shown.y + shown.side, shown.x : shown.x + shown.side] = (
        sprite(shown.kind, shown.colour, shown.side)[..., 3] > 0.5
    )
    return dilate(body, RIM) > 0


def _away(inside: np.ndarray, by: int) -> np.ndarray:  # (H, W) bool
    """The pixels of a region that are farther than `by` pixels from what is known."""
    return dilate(np.where(inside, 0, 255).astype(np.uint8), by) == 0
