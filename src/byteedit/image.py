"""Pictures and masks on their way to the model and back: crop to a window, resize, paste.

A picture is a `Picture`, a mask an array (H, W) in [0, 1], 1 = generate, both as `reading` gives them; the model sees
(B, 3, H, W) in [-1, 1] and (B, 1, H, W) in {0, 1}. What the mask leaves black comes back with the very values that came
in, in every mode. No models here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from byteedit import masks

SMALLEST, LARGEST = 8, 20_000  # pixels a side
LUMA = np.float32([0.299, 0.587, 0.114])  # of red, green, blue, as PIL weighs them (ITU-R 601)


@dataclass(frozen=True)
class Picture:
    """One picture, upright: `pixels` for the model, `source` for what the model does not see (mode, alpha, 16 bits)."""

    pixels: np.ndarray  # (H, W, 3), uint8 or float32 in [0, 1]
    source: PIL.Image.Image | None = None
    planar: bool = False  # whether it came as (3, H, W), an order in memory on which the last bits depend

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


@dataclass(frozen=True)
class Window:
    """A box in a picture's pixels that the model gets to see; it may overhang the picture, which is mirrored there."""

    left: int
    top: int
    width: int
    height: int

    def inside(self, size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the picture that lie in the window."""
        width, height = size
        rows = slice(max(self.top, 0), min(self.top + self.height, height))
        return rows, slice(max(self.left, 0), min(self.left + self.width, width))

    def crop(self, pixels: np.ndarray) -> np.ndarray:
        """The window's content: (H, W, ...) -> (height, width, ...)."""
        rows, columns = self.inside((pixels.shape[1], pixels.shape[0]))
        before, after = (rows.start - self.top, columns.start - self.left), (self.top + self.height - rows.stop,)
        padding = [(before[0], after[0]), (before[1], self.left + self.width - columns.stop)]
        return np.pad(pixels[rows, columns], padding + [(0, 0)] * (pixels.ndim - 2), mode="symmetric")

    def uncrop(self, patch: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The part of the window's content, at any size, that lies in the picture, at its size: (., ., 3) -> (h, w, 3).

        What overhangs is never made large: of a panorama it would be many times the picture.
        """
        rows, columns = self.inside(size)
        left, right = columns.start - self.left, columns.stop - self.left
        top, bottom = rows.start - self.top, rows.stop - self.top
        if patch.shape[:2] == (self.height, self.width):
            return patch[top:bottom, left:right]
        across, down = patch.shape[1] / self.width, patch.shape[0] / self.height
        box = left * across, top * down, right * across, bottom * down
        return resize(patch, (right - left, bottom - top), box=box)


def unit(pixels: np.ndarray) -> np.ndarray:
    """Floats in [0, 1] of uint8 values; floats stay."""
    return pixels.astype(np.float32) / 255.0 if pixels.dtype == np.uint8 else pixels


def window(mask: np.ndarray, model: tuple[int, int], margin: int | str) -> Window:
    """The part of a picture that goes through the model, shaped like `model` (width, height).

    It holds the mask's box and `margin` pixels around it; with "auto" a quarter of the box, and no less than the
    model's own size, so that nothing is blown up. It is as large as the picture at most; an empty mask gives the
    whole picture.
    """
    height, width = mask.shape
    left, top, right, bottom = masks.box(mask) if mask.any() else (0, 0, width, height)
    around = (max(right - left, bottom - top) // 4, 1.0) if margin == "auto" else (margin, 0.0)
    scale = max((right - left + 2 * around[0]) / model[0], (bottom - top + 2 * around[0]) / model[1], around[1])
    scale = min(scale, max(width / model[0], height / model[1]))
    extent = max(round(scale * model[0]), 1), max(round(scale * model[1]), 1)
    return Window(
        place((left + right) // 2, extent[0], width),
        place((top + bottom) // 2, extent[1], height),
        extent[0],
        extent[1],
    )


def place(centre: int, extent: int, available: int) -> int:
    """Start of an extent around a centre, moved to lie within what is available; centred where it is too large."""
    if extent >= available:
        return (available - extent) // 2
    return int(min(max(centre - extent // 2, 0), available - extent))


def resize(pixels: np.ndarray, size: tuple[int, int], resample=PIL.Image.Resampling.LANCZOS, box=None) -> np.ndarray:
    """Resize (H, W) or (H, W, 3) to `size` (width, height), antialiased; uint8 stays uint8, floats stay in [0, 1].

    box: the part that is resized, left, top, right, bottom; without, all of it.
    """
    if box is None and pixels.shape[:2] == (size[1], size[0]):
        return pixels
    if pixels.dtype == np.uint8:
        return np.asarray(PIL.Image.fromarray(pixels).resize(size, resample, box))
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    resized = [PIL.Image.fromarray(plane).resize(size, resample, box) for plane in np.moveaxis(planes, -1, 0)]
    return np.stack(resized, axis=-1).clip(0, 1).reshape(size[1], size[0], *pixels.shape[2:])


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Pictures (B, H, W, 3) -> (B, 3, H, W) in [-1, 1]; masks (B, H, W) -> (B, 1, H, W) in [0, 1]. Floats, or uint8."""
    tensor = torch.from_numpy(np.ascontiguousarray(unit(pixels)))
    return tensor[:, None] if tensor.ndim == 3 else 2.0 * tensor.movedim(-1, 1) - 1.0


def normalize(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Images in [-1, 1] less `mean`, over `std`, which are of red, green and blue in [0, 1]."""
    mean, std = (image.new_tensor(values)[:, None, None] for values in (mean, std))
    return (0.5 * image + 0.5 - mean) / std


def to_uint8(image: Tensor) -> np.ndarray:  # (B, H, W, 3)
    """`to_tensor` backwards: (B, 3, H, W) in [-1, 1], cut to it and rounded."""
    return levels((image.float() * 0.5 + 0.5).clamp(0, 1).movedim(1, -1).numpy(force=True))


def levels(pixels: np.ndarray) -> np.ndarray:
    """`unit` backwards: floats in [0, 1] as uint8; uint8 stays."""
    return pixels if pixels.dtype == np.uint8 else (pixels * 255).round().astype(np.uint8)


def paste(picture: Picture, mask: np.ndarray, patch: np.ndarray, window: Window) -> np.ndarray:
    """Blend a window's content into the picture: m patch + (1 - m) picture, exactly the picture where m = 0.

    mask (H, W), patch (., ., 3) in [0, 1], at any size -> (H, W, 3), uint8 or float32 in [0, 1] like the picture.
    """
    pixels = picture.pixels.copy()
    place = window.inside(picture.size)
    weight, before = unit(mask[place])[..., None], pixels[place]
    blend = weight * window.uncrop(patch, picture.size) + (1 - weight) * unit(before)
    if pixels.dtype == np.uint8:
        blend = (blend * 255).round()
    pixels[place] = np.where(weight > 0, blend, before)
    return pixels


def to_pil(pixels: np.ndarray, picture: Picture, mask: np.ndarray) -> PIL.Image.Image:
    """A PIL image of edited pixels (H, W, 3), of the mode that came in, alpha kept; untouched where the mask is 0."""
    edited = PIL.Image.fromarray(levels(pixels))
    if picture.source is None or picture.source.mode == "RGB":
        return edited
    before = np.asarray(picture.source)
    if picture.source.mode == "I;16":
        after = (pixels @ LUMA * 65535).round().astype(np.uint16)
    else:
        after = np.array(edited.convert(picture.source.mode))
    if picture.source.mode in ("RGBA", "LA"):
        after[..., -1] = before[..., -1]
    changed = mask > 0 if after.ndim == 2 else mask[..., None] > 0
    return from_values(np.where(changed, after, before), picture.source.mode)


def from_values(values: np.ndarray, mode: str) -> PIL.Image.Image:
    """A PIL image of a kept mode; (H, W, 4) may be RGBA or CMYK, which an array does not tell."""
    return PIL.Image.frombytes(mode, values.shape[1::-1], np.ascontiguousarray(values).tobytes())
