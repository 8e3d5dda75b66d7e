"""Training items from the picturebook's train split: a picture, a mask and the words for what the mask hides.

One rule covers editing, erasing and outpainting. Things that the mask hides wholly cannot be guessed, so they
are either named in the prompt or not in the picture; what is only partly hidden stays and is to be completed.
Source: the paper's mask kinds, with instance masks for editing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from byteedit import masks
from byteedit.picturebook import PAGE, Scene, Thing, scene

SIZE = (PAGE, PAGE)
WINDOW = PAGE // 2  # pixels a side of the windows that training cuts out
MASKS = {"instance": 0.55, "outward": 0.3, "irregular": 0.06, "square": 0.06, "global": 0.03}
NAMED = 0.82  # how often hidden things are kept and named rather than left out


@dataclass(frozen=True)
class Item:
    picture: np.ndarray  # (128, 128, 3) uint8
    mask: np.ndarray  # (128, 128) uint8, 255 = generate here
    prompt: str  # "" = the background goes on
    focus: masks.Box  # what a window of the picture should show: the mask or, if it is wider, what is named


def item(seed: int) -> Item:
    """Training item number `seed`."""
    rng = np.random.default_rng([7, seed])
    page = scene(int(rng.integers(2**40)), "train")
    while not page.things:
        page = scene(int(rng.integers(2**40)), "train")
    mask = _mask(page, rng)
    hidden = [i for i in range(len(page.things)) if not (page.mask(i)[mask == 0]).any()]
    named = [i for i in hidden if rng.random() < 0.9] if rng.random() < NAMED else []
    shown = page.without(*(i for i in hidden if i not in named))
    focus = masks.box(mask)
    if named and not fits(focus):
        focus = masks.box(np.max([page.mask(i) for i in named], axis=0))
    return Item(shown.render(), mask, words(page, [page.things[i] for i in named], rng), focus)


def fits(box: masks.Box) -> bool:
    """Whether a window shows all of a box, but for a rim of two pixels."""
    left, top, right, bottom = box
    return max(right - left, bottom - top) <= WINDOW + 4


def words(page: Scene, named: list[Thing], rng: Generator) -> str:
    """A prompt for the `named` things, with or without size and place; "" mostly when there are none."""
    place = page.place if rng.random() < (0.25 if named else 0.12) else ""
    sized = rng.random() < 0.5
    phrases = [thing.phrase if sized else thing.plain_phrase for thing in named]
    return " ".join(filter(None, [" and ".join(phrases), place]))


def _mask(page: Scene, rng: Generator) -> np.ndarray:  # (128, 128) uint8
    kind = str(rng.choice(list(MASKS), p=list(MASKS.values())))
    if kind == "instance":
        return masks.instance(page.mask(int(rng.integers(len(page.things)))), rng)
    mask = masks.KINDS[kind](SIZE, rng)
    for _ in range(6 if kind == "outward" and rng.random() < 0.85 else 0):  # see to it that some borders hide a thing
        if any(not page.mask(i)[mask == 0].any() for i in range(len(page.things))):
            break
        mask = masks.outward(SIZE, rng)
    return mask
