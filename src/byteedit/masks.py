"""The mask kinds of the paper's fine-tuning data, as pure functions of (size, rng).

A mask is uint8 (H, W), 255 = generate here, 0 = keep. `size` is (height, width) in pixels. Lengths follow
the shorter side, so the same function serves 128 and 1024 pixels. numpy only.
Source: ByteEdit, section on fine-tuning data and masks.
"""

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

Size = tuple[int, int]
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, right and bottom exclusive


def whole(size: Size, rng: Generator) -> np.ndarray:  # (H, W) uint8
    """The paper's *global* mask: everything is generated."""
    return np.full(size, 255, np.uint8)


def irregular(size: Size, rng: Generator) -> np.ndarray:  # (H, W) uint8
    """One to three brush strokes, each a chain of thick segments that wander."""
    height, width = size
    unit = min(size)
    mask = np.zeros(size, bool)
    for _ in range(rng.integers(1, 4)):
        point = rng.uniform((0, 0), (width, height))
        angle, radius = rng.uniform(0, 2 * np.pi), unit * rng.uniform(0.04, 0.11)
        for _ in range(rng.integers(2, 6)):
            angle += rng.normal(0, 0.7)
            end = point + unit * rng.uniform(0.08, 0.25) * np.array((np.cos(angle), np.sin(angle)))
            mask |= _capsule(size, point, end, radius)
            point = end
    return _to_uint8(mask)


def square(size: Size, rng: Generator) -> np.ndarray:  # (H, W) uint8
    """One or two boxes with sides of a fifth to three fifths of the picture's."""
    mask = np.zeros(size, bool)
    for _ in range(rng.integers(1, 3)):
        sides = (np.array(size) * rng.uniform(0.2, 0.6, 2)).astype(int)
        top, left = (rng.integers(0, np.array(size) - sides + 1)).tolist()
        mask[top : top + sides[0], left : left + sides[1]] = True
    return _to_uint8(mask)


def outward(size: Size, rng: Generator) -> np.ndarray:  # (H, W) uint8
    """*Outward expansion*: a rectangle is kept, what lies beyond one to four of its sides is generated."""
    height, width = size
    sides = rng.choice(4, rng.choice([1, 2, 3, 4], p=[0.5, 0.3, 0.1, 0.1]), replace=False)
    grow = np.zeros(4)
    grow[sides] = rng.uniform(0.12, 0.42, len(sides)) * (1 if len(sides) < 3 else 0.6)
    left, top, right, bottom = (grow * (width, height, width, height)).astype(int).tolist()
    mask = np.full(size, 255, np.uint8)
    mask[top : height - bottom, left : width - right] = 0
    return mask


KINDS = {"global": whole, "irregular": irregular, "square": square, "outward": outward}
PROBABILITIES = {"global": 0.25, "irregular": 0.25, "square": 0.25, "outward": 0.25}


def draw(size: Size, rng: Generator, probabilities: Mapping[str, float] = PROBABILITIES) -> np.ndarray:  # (H, W) uint8
    """A mask of a random kind.

    `probabilities` names kinds of `KINDS`; they need not sum to 1. Raises `ValueError` for an unknown kind.
    """
    unknown = set(probabilities) - set(KINDS)
    if unknown:
        raise ValueError(f"unknown mask kinds {sorted(unknown)}; choose among {', '.join(KINDS)}.")
    weights = np.array(list(probabilities.values()), float)
    return KINDS[str(rng.choice(list(probabilities), p=weights / weights.sum()))](size, rng)


def instance(thing: np.ndarray, rng: Generator, stray: float = 0.25) -> np.ndarray:  # (H, W) uint8
    """An object's own mask `thing` (H, W), coarsened: dilated, or the box or ellipse around it, grown.

    With probability `stray` a random stroke is joined to it, as the paper joins masks around the object.
    The result always covers `thing`. Raises `ValueError` if `thing` is empty.
    """
    if not thing.any():
        raise ValueError("the instance mask is empty; draw another mask kind for a picture without the object.")
    unit = min(thing.shape)
    shape = rng.choice(["dilated", "box", "ellipse"], p=[0.3, 0.35, 0.35])
    if shape == "dilated":
        mask = dilate(thing, int(unit * rng.uniform(0.01, 0.09))) > 0
    else:
        mask = _around(thing, rng, shape) | (thing > 0)
    if rng.random() < stray:
        mask |= irregular(thing.shape, rng) > 0
    return _to_uint8(mask)


def dilate(mask: np.ndarray, radius: int) -> np.ndarray:  # (H, W) uint8
    """`mask` grown by a disc of `radius` pixels; the slow, obvious twin is `scipy.ndimage.binary_dilation`."""
    height, width = mask.shape
    grown = np.zeros(mask.shape, bool)
    padded = np.pad(mask > 0, ((0, 0), (radius + 1, radius)))
    counts = np.cumsum(padded, axis=1, dtype=np.int32)
    for dy in range(-radius, radius + 1):
        half = int(np.sqrt(radius**2 - dy**2))
        hit = (
            counts[:, radius + half + 1 : radius + half + 1 + width] > counts[:, radius - half : radius - half + width]
        )
        grown[max(dy, 0) : height + min(dy, 0)] |= hit[max(-dy, 0) : height + min(-dy, 0)]
    return _to_uint8(grown)


def box(mask: np.ndarray) -> Box:
    """The smallest box around a mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _around(thing: np.ndarray, rng: Generator, shape: str) -> np.ndarray:  # (H, W) bool
    left, top, right, bottom = box(thing)
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    half = np.array([right - left, bottom - top]) / 2 * rng.uniform(1.05, 1.5, 2)
    x, y = np.arange(thing.shape[1])[None] + 0.5, np.arange(thing.shape[0])[:, None] + 0.5
    centre += half * rng.uniform(-0.12, 0.12, 2)
    u, v = np.abs(x - centre[0]) / half[0], np.abs(y - centre[1]) / half[1]
    return (u <= 1) & (v <= 1) if shape == "box" else u**2 + v**2 <= 1.5


def _capsule(size: Size, start: np.ndarray, end: np.ndarray, radius: float) -> np.ndarray:  # (H, W) bool
    """The pixels within `radius` of the segment from `start` to `end`, both (x, y)."""
    x, y = np.arange(size[1])[None] + 0.5 - start[0], np.arange(size[0])[:, None] + 0.5 - start[1]
    dx, dy = end - start
    along = np.clip((x * dx + y * dy) / max(dx**2 + dy**2, 1e-9), 0, 1)
    return (x - along * dx) ** 2 + (y - along * dy) ** 2 <= radius**2


def _to_uint8(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, 255, 0).astype(np.uint8)
