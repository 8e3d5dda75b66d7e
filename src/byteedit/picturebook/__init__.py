"""Picturebook: an endless book of captioned 128 x 128 scenes, made from seeds.

A scene is a place and up to three things in it. It renders as it is, without any one thing (the truth
for erasing) or on a wider canvas (the truth for outpainting). The book stands in for photographs where
no data set can be fetched; it is drawn, not learned, and needs numpy and PIL only.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from byteedit.picturebook.backgrounds import BACKGROUNDS, background
from byteedit.picturebook.sprites import COLOURS, KINDS, SIZES, sprite

__all__ = ["BACKGROUNDS", "COLOURS", "KINDS", "PAGE", "SIZES", "SPLITS", "Scene", "Thing", "held_out", "scene"]

PAGE = 128  # a page's width and height, in pixels
SPLITS = ("train", "validation", "test")
AIRBORNE = ("balloon", "star", "heart")  # may be anywhere; the rest mostly stand in the lower half


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One object of a scene; `x` and `y` are the top left corner of its square, in pixels of the page."""

    kind: str
    colour: str
    size: str
    x: int
    y: int

    @property
    def side(self) -> int:
        """Its square's side, in pixels."""
        return SIZES[self.size]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Its square: left, top, right, bottom."""
        return self.x, self.y, self.x + self.side, self.y + self.side

    @property
    def phrase(self) -> str:
        """What it is, such as "a small red balloon"."""
        return f"a {self.size} {self.name}"

    @property
    def plain_phrase(self) -> str:
        """What it is but for its size, such as "an orange apple"."""
        return f"{'an' if self.colour[0] in 'aeiou' else 'a'} {self.name}"

    @property
    def name(self) -> str:
        """Colour and kind, such as "red balloon"."""
        return f"{self.colour} {self.kind}"

    def coverage(self, box: tuple[int, int, int, int]) -> np.ndarray:  # (H, W) float32 in [0, 1]
        """How much of each pixel of the canvas `box` it covers."""
        left, top, right, bottom = box
        canvas = np.zeros((bottom - top, right - left), np.float32)
        (rows, columns), inside = self._overlap(box)
        canvas[rows, columns] = sprite(self.kind, self.colour, self.side)[inside][..., 3]
        return canvas

    def paint(self, canvas: np.ndarray, box: tuple[int, int, int, int]) -> None:
        """Lay it over `canvas` (H, W, 3), which shows `box`, in place."""
        (rows, columns), inside = self._overlap(box)
        drawn = sprite(self.kind, self.colour, self.side)[inside]
        part = canvas[rows, columns]
        part += drawn[..., 3:] * (drawn[..., :3] - part)

    def _overlap(self, box):
        left, top, right, bottom = box
        x0, x1 = max(self.x, left), max(min(self.x + self.side, right), max(self.x, left))
        y0, y1 = max(self.y, top), max(min(self.y + self.side, bottom), max(self.y, top))
        on_canvas = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
        return on_canvas, (slice(y0 - self.y, y1 - self.y), slice(x0 - self.x, x1 - self.x))


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A place and the things in it, back to front."""

    background: str
    background_seed: int
    things: tuple[Thing, ...]

    @property
    def place(self) -> str:
        """Where it is, such as "in a green meadow"."""
        return BACKGROUNDS[self.background]

    @property
    def caption(self) -> str:
        """Such as "a small red balloon and a large blue house at sunset"."""
        return " and ".join(thing.phrase for thing in self.things) + (" " if self.things else "") + self.place

    def without(self, *indices: int) -> "Scene":
        """The very same scene without the things at `indices`."""
        return replace(self, things=tuple(t for i, t in enumerate(self.things) if i not in indices))

    def render(self, box: tuple[int, int, int, int] = (0, 0, PAGE, PAGE)) -> np.ndarray:  # (H, W, 3) uint8
        """The picture that `box` (left, top, right, bottom, in pixels of the page) shows of the scene."""
        canvas = background(self.background, self.background_seed, box)
        for thing in self.things:
            thing.paint(canvas, box)
        return (canvas + 0.5).astype(np.uint8)

    def mask(self, index: int, box: tuple[int, int, int, int] = (0, 0, PAGE, PAGE)) -> np.ndarray:  # (H, W) uint8
        """255 where the thing at `index` covers a fiftieth of a pixel or more, unless another hides it; else 0."""
        seen = self.things[index].coverage(box)
        for front in self.things[index + 1 :]:
            seen = seen * (1 - front.coverage(box))
        return np.where(seen > 0.02, 255, 0).astype(np.uint8)


def held_out(kind: str, colour: str, place: str) -> bool:
    """Whether this kind, in this colour, at this background, is kept out of training: one of eight places each."""
    k, c, b = list(KINDS).index(kind), list(COLOURS).index(colour), list(BACKGROUNDS).index(place)
    return (k + 3 * c) % len(BACKGROUNDS) == b


def scene(seed: int, split: str = "train") -> Scene:
    """The scene number `seed` of a split: one to three things that do not touch.

    "train" never shows a held-out combination; the other splits show all of them.
    Raises `ValueError` for an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; the picturebook has {', '.join(SPLITS)}.")
    rng = np.random.default_rng([SPLITS.index(split), seed])
    place = str(rng.choice(list(BACKGROUNDS)))
    things: list[Thing] = []
    for _ in range(int(rng.choice([1, 2, 3], p=[0.45, 0.35, 0.2]))):
        thing = _place(rng, things, place, split)
        if thing:
            things.append(thing)
    return Scene(background=place, background_seed=int(rng.integers(2**31)), things=tuple(things))


def _place(rng: Generator, others: list[Thing], place: str, split: str) -> Thing | None:
    """A random thing clear of `others`, or none when eight tries found no room."""
    for _ in range(8):
        kind, colour = str(rng.choice(list(KINDS))), str(rng.choice(list(COLOURS)))
        size = str(rng.choice(list(SIZES)))
        free = PAGE - SIZES[size]
        grounded = kind not in AIRBORNE and rng.random() < 0.8
        x, y = int(rng.integers(free + 1)), int(rng.integers(free * 3 // 5 if grounded else 0, free + 1))
        thing = Thing(kind=kind, colour=colour, size=size, x=x, y=y)
        allowed = split != "train" or not held_out(kind, colour, place)
        if allowed and not any(_touch(thing.box, other.box) for other in others):
            return thing
    return None


def _touch(a, b, gap: int = 2) -> bool:
    return a[0] < b[2] + gap and b[0] < a[2] + gap and a[1] < b[3] + gap and b[1] < a[3] + gap
