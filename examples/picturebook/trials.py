"""Answers of known worth, to try the gold judge on: true pictures, true ones a little damaged, and wrong ones.

A trial is a pure function of a case that gives a whole page, (128, 128, 3) uint8, equal to the case's background
outside its mask. The judge must call the true ones right and the wrong ones wrong. numpy and PIL only.
"""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image, ImageFilter

from byteedit.evaluation.picturebench import Case
from byteedit.picturebook import COLOURS, KINDS

__all__ = ["TRUE", "WRONG"]


def _rng(case: Case) -> np.random.Generator:
    return np.random.default_rng(case.seed)


def _pasted(case: Case, page: np.ndarray) -> np.ndarray:
    """`page` inside the mask, the known background elsewhere."""
    inside = case.mask[..., None] > 127
    return np.where(inside, np.clip(np.rint(page), 0, 255), case.background).astype(np.uint8)


def true(case: Case) -> np.ndarray:
    """The right answer."""
    return _pasted(case, case.picture)


def noisy(case: Case) -> np.ndarray:
    """The right answer with Gaussian noise of 4/255."""
    return _pasted(case, case.picture + _rng(case).normal(0, 4, case.picture.shape))


def compressed(case: Case) -> np.ndarray:
    """The right answer as a JPEG of quality 75."""
    buffer = io.BytesIO()
    Image.fromarray(case.picture).save(buffer, "JPEG", quality=75)
    return _pasted(case, np.array(Image.open(buffer)))


def blurred(case: Case) -> np.ndarray:
    """The right answer under a Gaussian of 0.7 pixels."""
    return _pasted(case, np.array(Image.fromarray(case.picture).filter(ImageFilter.GaussianBlur(0.7))))


def empty(case: Case) -> np.ndarray:
    """The background goes on and nothing stands there. For an edit that is also the unedited picture."""
    return case.background


def unfilled(case: Case) -> np.ndarray:
    """The region left grey, as the model is shown it."""
    return _pasted(case, np.full_like(case.background, 128))


def wrong_colour(case: Case) -> np.ndarray:
    """The right kind at the right place in another colour, every colour in turn."""
    return _instead(case, colour=_another(list(COLOURS), case.target.colour, _rng(case)))


def wrong_class(case: Case) -> np.ndarray:
    """Another kind at the right place in the right colour."""
    return _instead(case, kind=_another(list(KINDS), case.target.kind, _rng(case)))


def disc(case: Case) -> np.ndarray:
    """A flat disc of the right colour and size at the right place."""
    thing = case.target
    y, x = np.mgrid[: case.mask.shape[0], : case.mask.shape[1]] + 0.5
    radius = 0.45 * thing.side
    inside = np.hypot(x - thing.x - thing.side / 2, y - thing.y - thing.side / 2) <= radius
    return _pasted(case, np.where(inside[..., None], COLOURS[thing.colour], case.background))


def flooded(case: Case) -> np.ndarray:
    """The whole region filled with the right colour."""
    return _pasted(case, np.broadcast_to(COLOURS[case.target.colour], case.background.shape))


def smeared(case: Case) -> np.ndarray:
    """The right answer under a Gaussian of an eighth of the thing's side: its colours without its shape."""
    blur = ImageFilter.GaussianBlur(case.target.side / 8)
    return _pasted(case, np.array(Image.fromarray(case.picture).filter(blur)))


def shuffled(case: Case) -> np.ndarray:
    """The right answer with the thing's square cut into sixteen pieces, in another order."""
    x, y, step = case.target.x, case.target.y, case.target.side // 4
    page = case.picture.copy()
    corners = [(y + i * step, x + j * step) for i in range(4) for j in range(4)]
    order = _rng(case).permutation(16)
    for (row, column), n in zip(corners, order, strict=True):
        from_row, from_column = corners[n]
        piece = case.picture[from_row : from_row + step, from_column : from_column + step]
        page[row : row + step, column : column + step] = piece
    return _pasted(case, page)


def _instead(case: Case, **changes) -> np.ndarray:
    things = (*case.truth.things[:-1], replace(case.target, **changes))
    return _pasted(case, replace(case.truth, things=things).render())


def _another(names: list[str], name: str, rng: np.random.Generator) -> str:
    return names[(names.index(name) + int(rng.integers(1, len(names)))) % len(names)]


Trial = Callable[[Case], np.ndarray]
TRUE: dict[str, Trial] = {trial.__name__: trial for trial in (true, noisy, compressed, blurred)}
WRONG: dict[str, Trial] = {
    trial.__name__: trial for trial in (empty, unfilled, wrong_colour, wrong_class, disc, flooded, smeared, shuffled)
}
