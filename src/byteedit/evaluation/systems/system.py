"""`System`: what answers a benchmark's cases, whatever it is made of, with all that makes it answer so again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from byteedit.evaluation import TASKS
from byteedit.evaluation.benchmarks.case import EditCase

__all__ = ["System", "answer_to"]


@dataclass(frozen=True, kw_only=True)
class System:
    """One system, opened with `open_system`."""

    settings: Mapping[str, Any]
    """What it is and how it is set, as JSON knows it."""

    edit: Callable[[EditCase], np.ndarray]
    """Gives its answer to a case, (H, W, 3) uint8, of the size of the case's mask. The same case, the same answer."""

    tasks: tuple[str, ...] = TASKS
    """What it can do."""

    stamp: Callable[[EditCase], str | None] = lambda case: None
    """What its answer to a case depends on beside the settings, such as a file's SHA-256; where that has changed, the
    case is answered anew."""


def answer_to(system: System, case: EditCase) -> np.ndarray:  # (H, W, 3) uint8
    """A system's answer to a case, made sure to be a picture of the mask's size.

    Raises:
        ValueError: it is of another size or kind.
    """
    image, size = system.edit(case), case.mask.shape
    if image.shape != (*size, 3) or image.dtype != np.uint8:
        raise ValueError(f"{case.id}: the answer is {image.shape} {image.dtype}, expected {(*size, 3)} uint8.")
    return image
