"""PictureBench's cases as `EditCase`: 240 edits, 240 erasures and 240 outpaintings of picturebook scenes.

The cases themselves, and what they are good for, are in `byteedit.evaluation.picturebench`. Each is kept as the
`original`, for the gold judge, which needs the scene itself.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from byteedit.evaluation import TASKS
from byteedit.evaluation.benchmarks.case import GREY, EditCase
from byteedit.evaluation.picturebench import Case, cases
from byteedit.picturebook import SPLITS

__all__ = ["PictureBenchCase", "read_picturebench"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureBenchCase(EditCase):
    """A case of PictureBench as an `EditCase`."""

    original: Case
    """The case itself."""


def read_picturebench(
    split: str | None, *, task: str | None = None, number: int | None = None
) -> list[PictureBenchCase]:
    """PictureBench, its tasks one after the other; ids are "editing-017" and the like.

    Args:
        split: "test", the benchmark, is what None means; "validation" has the same cases for calibration.
        task: only one of `TASKS`.
        number: only the first so many of each task, which are mixed.

    Raises:
        ValueError: there is no such split or task.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"picturebench has no split {split!r}; it has {', '.join(SPLITS)}.")
    chosen = [cases(name, split) if split else cases(name) for name in ([task] if task else TASKS)]
    return [_as_edit(case, split or "test") for of_task in chosen for case in of_task[:number]]


def _as_edit(case: Case, split: str) -> PictureBenchCase:
    words = {"simple": case.prompt, "rich": case.target.phrase, "full": case.truth.caption} if case.target else {}
    return PictureBenchCase(
        original=case,
        id=case.id,
        task=case.task,
        seed=case.seed,
        read_page=partial(_page, case),
        read_mask=lambda: case.mask,
        read_reference=lambda: case.picture,
        prompts=words,
        attributes={"split": split, "held_out": case.held_out, "place": case.truth.background},
    )


def _page(case: Case) -> np.ndarray:  # (PAGE, PAGE, 3) uint8
    left, top, right, bottom = case.box
    page = np.full((*case.mask.shape, 3), GREY, np.uint8)
    page[top:bottom, left:right] = case.image
    return page
