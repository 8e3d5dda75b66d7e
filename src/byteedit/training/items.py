"""A row of D_train as the models of inpainting learn from it: a picture of their size, a mask, a prompt.

What is drawn (crop, flip, mask, whether the prompt is dropped) comes from the row's own random numbers. Every stage
that tunes an inpainting model shares this file; noise is the stages' own.
Source: the mask kinds of ByteEdit (arXiv 2404.04860).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import PIL.Image
from numpy.random import Generator
from PIL.Image import Resampling

from byteedit import masks
from byteedit.image import to_tensor
from byteedit.training.batches import Row
from byteedit.training.settings import Settings

__all__ = ["MASK_PROBS", "Crop", "ItemSettings", "Items", "Then"]

Then = Callable[[Row, Generator], Row]
"""What a stage adds to an item, such as noise, with the item's random numbers."""

MASK_PROBS = {"global": 0.25, "irregular": 0.1875, "square": 0.1875, "outward": 0.1875, "instance": 0.1875}


@dataclass(kw_only=True)
class ItemSettings(Settings):
    """The settings of a stage that learns from D_train."""

    data: str
    """Where D_train is: a folder of pictures, tars, Parquet, JSONL, a hub id, or picturebook; `:split` after it where
    that is not train. See docs/data.md."""
    caption_column: str = "caption"
    """Column that holds the caption, such as text."""
    image_column: str = "image"
    """Column of Parquet, JSONL and the hub that holds the picture, such as jpg."""
    config: str = ""
    """Which of several configurations of a data set on the hub; without, its default."""
    streaming: bool = False
    """Read Parquet and JSONL from their beginning, as tars and the hub are, instead of by number from a copy."""
    buffer: int = 1000
    """Rows of a stream among which the next is drawn; 1 takes them as they come."""
    size: int = 0
    """Height and width of the pictures that are learnt from, in pixels; 0 takes the model's own."""
    flip: bool = False
    """Mirror every other picture. Captions that say left and right then lie."""
    mask_probs: dict[str, float] = field(default_factory=MASK_PROBS.copy)
    """Shares of the kinds of mask; they need not sum to 1. (Paper: four kinds and, for editing, instance; global .25.
    Rows without instances share theirs out among the kinds other than global)"""
    drop_prompt: float = 0.1
    """Probability that a prompt is left out; under an instance's mask or a row's own it never is, so that no words stay
    the way to erase. (stable-diffusion-inpainting: 0.1)"""

    def __post_init__(self):
        super().__post_init__()
        if self.size < 0:
            raise ValueError(f"size is {self.size}; give the pixels of a side, or 0 for the model's own.")


@dataclass(frozen=True, kw_only=True)
class Crop:
    """The part of a picture that is shown, at its new size."""

    box: tuple[float, float, float, float]  # left, top, right, bottom in pixels of the picture
    size: tuple[int, int]  # height, width
    flip: bool

    @classmethod
    def draw(cls, width: int, height: int, size: tuple[int, int], flip: bool, rng: Generator) -> "Crop":
        """A random crop of `size` from a picture of width x height, resized so that it is only just covered.

        It lies on the pixels of the resized picture, so where nothing is to be resized, nothing is interpolated.
        """
        scale = max(size[0] / height, size[1] / width)
        room = max(round(width * scale) - size[1], 0), max(round(height * scale) - size[0], 0)
        left, top = (rng.integers(0, np.array(room) + 1) / scale).tolist()
        box = left, top, min(left + size[1] / scale, width), min(top + size[0] / scale, height)
        return cls(box=box, size=size, flip=flip and rng.random() < 0.5)

    def show(self, image: PIL.Image.Image, resample=Resampling.LANCZOS) -> np.ndarray:  # (H, W[, 3]) uint8
        """Its pixels, antialiased."""
        pixels = np.asarray(image.resize(self.size[::-1], resample, self.box))
        return pixels[:, ::-1] if self.flip else pixels

    def show_instance(self, image: PIL.Image.Image) -> np.ndarray:  # (H, W) uint8
        """An instance's mask; empty if more than half of it lies outside."""
        shown = self.show(image, Resampling.BILINEAR) >= 128
        left, top, right, bottom = self.box
        scale = self.size[0] * self.size[1] / ((right - left) * (bottom - top))
        enough = shown.sum() >= 0.5 * scale * (np.asarray(image) >= 128).sum()
        return np.where(shown & enough, 255, 0).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class Items:
    """Makes items of rows. `size` is (height, width) in pixels.

    Raises:
        ValueError: `mask_probs` names an unknown kind, or has no kind for a row without instances.
    """

    read: Callable[[Any], Row]  # `Edits.read`
    size: tuple[int, int]
    mask_probs: Mapping[str, float] = field(default_factory=MASK_PROBS.copy)
    drop_prompt: float = 0.1
    flip: bool = False
    then: Then | None = None

    def __post_init__(self):
        if wrong := [share for share in self.mask_probs.values() if not isinstance(share, int | float)]:
            raise ValueError(f"mask_probs has the share {wrong[0]!r}; give numbers.")
        if unknown := sorted(self.mask_probs.keys() - MASK_PROBS.keys()):
            raise ValueError(f"mask_probs has {', '.join(unknown)}; the kinds are {', '.join(MASK_PROBS)}.")
        if not sum(self.mask_probs.values()) > 0 or min(self.mask_probs.values()) < 0:
            raise ValueError(f"mask_probs is {dict(self.mask_probs)}; give one kind a share above 0, and none below.")
        if not 0 <= self.drop_prompt <= 1:
            raise ValueError(f"drop_prompt is {self.drop_prompt}; it is a share of the rows, from 0 to 1.")
        if self.mask_probs.get("instance") and not sum(self._otherwise().values()):
            raise ValueError(
                "mask_probs has instance, but no share for irregular, square or outward; rows without instances need"
                " one of these."
            )

    def prepare(self, row: Any, rng: Generator) -> Row:
        """`image` (3, H, W) in [-1, 1], `mask` (1, H, W) in {0, 1}, 1 = generate, and `prompt`, "" where dropped.

        Raises:
            Unusable: the row is.
        """
        row = self.read(row)
        crop = Crop.draw(*row["image"].size, self.size, self.flip, rng)
        mask, prompt = self._ask(row, crop, rng)
        image = to_tensor(crop.show(row["image"])[None])[0]
        item = {"image": image, "mask": to_tensor(mask[None])[0], "prompt": prompt}
        return self.then(item, rng) if self.then else item

    def _ask(self, row: Row, crop: Crop, rng: Generator) -> tuple[np.ndarray, str]:
        """Mask and prompt: the row's own, or an instance's mask with its phrase, or a mask that is drawn."""
        if row["mask"]:
            inside = crop.show(row["mask"], Resampling.BILINEAR) >= 128
            return np.where(inside, 255, 0).astype(np.uint8), row["caption"]
        shares = np.array(list(self.mask_probs.values()))
        kind = str(rng.choice(list(self.mask_probs), p=shares / shares.sum()))
        if kind != "instance":
            return masks.KINDS[kind](self.size, rng), self._drop(row["caption"], rng)
        shown = [crop.show_instance(one) for one in row["instances"]]
        found = [number for number, one in enumerate(shown) if one.any()]
        if not found:
            return masks.draw(self.size, rng, self._otherwise()), self._drop(row["caption"], rng)
        chosen = int(rng.choice(found))
        return masks.instance(shown[chosen], rng), row["phrases"][chosen] if row["phrases"] else row["caption"]

    def _drop(self, prompt: str, rng: Generator) -> str:
        return "" if rng.random() < self.drop_prompt else prompt

    def _otherwise(self) -> dict[str, float]:
        """The kinds that stand in for instance."""
        return {kind: share for kind, share in self.mask_probs.items() if kind not in ("instance", "global")}
