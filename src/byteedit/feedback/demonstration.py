"""A study to try the app with: erasures of drawn scenes by four fillers, one of which knows what was there.

Drawn in a second, without a model and without network. What people say of it tells nothing about byteedit.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from byteedit.evaluation.human.creation import StudyCase, create_study
from byteedit.evaluation.human.studies import Kind, Study, StudySettings
from byteedit.picturebook import Scene, scene

__all__ = ["make_demonstration"]

GROWN = 7  # pixels, odd: the side of the square by which a thing's mask is widened
INSTRUCTIONS = (
    "Something was erased from each of these drawings. Judge how well: does the background go on as if nothing had "
    "been there? This is a demonstration; everyone's answers are kept until the app is started again."
)


def make_demonstration(folder: str | Path, kind: Kind = "best-worst", count: int = 12, raters: int = 1) -> Study:
    """Make a study of `count` erased scenes in the new folder `folder`; each of `raters` is asked about all."""
    with TemporaryDirectory() as scratch:
        cases = [_case(Path(scratch), number, drawn) for number, drawn in zip(range(count), _scenes(), strict=False)]
        systems = {name: Path(scratch) / name for name in FILLERS}
        settings = StudySettings(kind=kind, raters=raters, votes=raters, instructions=INSTRUCTIONS)
        return create_study(folder, cases, systems, settings)


def _scenes() -> Iterator[Scene]:
    """Scenes of the test split with a thing to erase."""
    return (drawn for seed in range(10**6) if (drawn := scene(seed, "test")).things)


def _case(folder: Path, number: int, drawn: Scene) -> StudyCase:
    """Write a scene, the mask of its first thing, and what each filler makes of it."""
    name, picture = f"scene-{number}", drawn.render()
    mask = np.asarray(Image.fromarray(drawn.mask(0)).filter(ImageFilter.MaxFilter(GROWN)))  # (H, W)
    image, mask_file = folder / f"{name}-before.png", folder / f"{name}-mask.png"
    Image.fromarray(picture).save(image)
    Image.fromarray(mask).save(mask_file)
    rng = np.random.default_rng(number)
    for system, fill in FILLERS.items():
        (folder / system).mkdir(exist_ok=True)
        filled = np.where(mask[..., None] > 127, fill(drawn, picture, mask > 127, rng), picture).astype(np.uint8)
        Image.fromarray(filled).save(folder / system / f"{name}.png")
    return StudyCase(id=name, task="erasing", image=image, mask=mask_file)


Filler = Callable[[Scene, np.ndarray, np.ndarray, Generator], np.ndarray]


def _truth(drawn: Scene, picture: np.ndarray, hole: np.ndarray, rng: Generator) -> np.ndarray:
    return drawn.without(0).render()


def _mean(drawn: Scene, picture: np.ndarray, hole: np.ndarray, rng: Generator) -> np.ndarray:
    return picture[~hole].mean(0)


def _blur(drawn: Scene, picture: np.ndarray, hole: np.ndarray, rng: Generator) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(10)))


def _shift(drawn: Scene, picture: np.ndarray, hole: np.ndarray, rng: Generator) -> np.ndarray:
    return np.roll(picture, int(rng.integers(24, 40)), axis=1)


FILLERS: dict[str, Filler] = {"truth": _truth, "mean": _mean, "blur": _blur, "shift": _shift}
