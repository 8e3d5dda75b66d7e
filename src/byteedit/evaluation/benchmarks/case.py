"""`EditCase`: a picture to be edited, what is asked for, and the right answer if one is known; the same for all.

Pictures are read when they are asked for, and anew each time, so that a list of a thousand cases holds none of them.
It has the names of `picturebench.Case`, so that a system that answers one answers the other. No models here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from byteedit.data.images import open_image, store
from byteedit.masks import box as box_around

__all__ = ["GREY", "EditCase", "asking", "coverage", "open_mask", "open_picture", "reason"]

GREY = 128  # what a page shows where nothing is known

Read = Callable[[], np.ndarray]


@dataclass(frozen=True, kw_only=True, eq=False)
class EditCase:
    """One case of a benchmark."""

    id: str
    """Names the case, and the file of an answer to it: no slashes."""

    task: str
    """"editing", "erasing" or "outpainting"."""

    seed: int
    """Seeds the noise that an answer is generated from."""

    read_page: Read
    """Reads (H, W, 3) uint8: the picture. What lies under the mask is what was there, but `page` is grey there where
    outpainting."""

    read_mask: Read
    """Reads (H, W) uint8: 255 = generate here, 0 = keep."""

    read_reference: Read | None = None
    """Reads (H, W, 3) uint8: the right answer, or one that people gave; None where there is none."""

    prompts: Mapping[str, str] = field(default_factory=dict)
    """By kind: "full" says what the whole picture shows, "simple" and "rich" what the masked part does. The first is
    what systems are asked for by default; without any, the case is one without prompt."""

    kind: str | None = None
    """Which of the prompts systems are asked for; None: the first."""

    attributes: Mapping[str, Any] = field(default_factory=dict)
    """What else the benchmark says of the case, as JSON knows it."""

    @property
    def prompt(self) -> str | None:
        """What systems are asked for; None where nothing is."""
        return self.prompts[self.kind or next(iter(self.prompts))] if self.prompts else None

    @property
    def page(self) -> np.ndarray:  # (H, W, 3) uint8
        """The picture, grey under the mask where outpainting. Raises `ValueError` where its size is not the mask's."""
        page = self._fitting(self.read_page(), "picture")
        return np.where(self.mask[..., None] > 127, np.uint8(GREY), page) if self.task == "outpainting" else page

    @property
    def mask(self) -> np.ndarray:  # (H, W) uint8
        """255 = generate here, 0 = keep."""
        return self.read_mask()

    @property
    def reference(self) -> np.ndarray | None:  # (H, W, 3) uint8
        """The right answer where there is one. Raises `ValueError` where its size is not the mask's."""
        return None if self.read_reference is None else self._fitting(self.read_reference(), "reference")

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """Left, top, right, bottom of the part of the page that the input shows; None where it shows the whole.

        Raises `ValueError` for an outpainting whose mask keeps anything but a rectangle.
        """
        if self.task != "outpainting":
            return None
        kept = self.mask <= 127
        if kept.any():
            left, top, right, bottom = box = box_around(kept)
            if kept[top:bottom, left:right].all():
                return box
        raise ValueError(
            f"{self.id} is an outpainting, but what its mask keeps is no rectangle;"
            " give it the task editing, or another mask."
        )

    @property
    def image(self) -> np.ndarray:  # (h, w, 3) uint8, of the size of `box` where there is one
        """The input."""
        left, top, right, bottom = self.box or (0, 0, None, None)
        return self.page[top:bottom, left:right]

    @property
    def extension(self) -> dict[str, int]:
        """How many pixels the page goes beyond the input on each side, as `pipe.outpaint` takes it."""
        height, width = self.mask.shape
        left, top, right, bottom = self.box or (0, 0, width, height)
        return {"left": left, "top": top, "right": width - right, "bottom": height - bottom}

    def _fitting(self, picture: np.ndarray, what: str) -> np.ndarray:
        (height, width), (high, wide) = picture.shape[:2], self.mask.shape
        if (height, width) != (high, wide):
            raise ValueError(
                f"{self.id}: the {what} is {width} x {height} pixels, the mask {wide} x {high}; make them one size."
            )
        return picture


def asking(cases: Sequence[EditCase], kind: str | None) -> list[EditCase]:
    """The cases, asked for their prompts of a kind; those without any prompt stay without.

    Raises:
        ValueError: a case has prompts, but none of that kind.
    """
    for case in cases:
        if kind is not None and case.prompts and kind not in case.prompts:
            raise ValueError(f"{case.id} has no {kind} prompt; it has {', '.join(case.prompts)}.")
    return [replace(case, kind=kind) if case.prompts else case for case in cases]


def coverage(cases: Sequence[EditCase]) -> tuple[np.ndarray, list[str]]:
    """The share of the picture that each mask says to generate, (n,) in [0, 1]; and "ID: why" for each unreadable one.

    Reads every mask. Shares are of those that can be read.
    """
    shares, unreadable = [], []
    for case in cases:
        try:
            shares.append((case.mask > 127).mean())
        except Exception as error:  # one case must not end a run of hundreds
            unreadable.append(f"{case.id}: {reason(error)}")
    return np.array(shares), unreadable


def reason(error: Exception) -> str:
    """Why a case fails, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def open_picture(source: Path | dict | None, mode: str = "RGB") -> np.ndarray:  # (H, W, 3) uint8, or (H, W) for "L"
    """A picture file, or an image as a row of a data set holds it, upright and in 8 bits.

    Raises:
        ValueError: there is no such file, it is no picture, or the row holds none.
    """
    try:
        return np.asarray(open_image(source if isinstance(source, dict) else store(source), mode))
    except ValueError as error:
        raise ValueError(f"{_where(source)}: {error}.") from error


def _where(source: Path | dict | None) -> str:
    """What a picture is called in an error."""
    return str(source) if isinstance(source, Path) else (source or {}).get("path") or "an image of the data set"


def open_mask(source: Path | dict) -> np.ndarray:  # (H, W) uint8
    """A mask file, as `open_picture`. Raises ValueError for one of 0 and 1, too, where white is 255."""
    mask = open_picture(source, "L")
    if mask.max(initial=0) == 1:
        raise ValueError(f"{_where(source)} has 0 and 1, where white is 255; multiply it by 255.")
    return mask
