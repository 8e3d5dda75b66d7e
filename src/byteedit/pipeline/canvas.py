"""The pictures and masks of one call, laid out as tensors of the model's size, and its decode put back into them.

Here is decided what the model sees (a window or the whole picture, at which size) and what is pasted where. Single
pictures are `image`'s affair, words and noise the pipeline's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from byteedit.image import Picture, Window, from_values, paste, resize, to_pil, to_tensor, unit, window
from byteedit.seam import close_seam, match_colours


@dataclass(frozen=True)
class Canvas:
    """N pictures with their masks and windows, and what the model gets of them."""

    pictures: list[Picture]
    masks: list[np.ndarray]  # (H, W), uint8 or float32 in [0, 1]
    windows: list[Window]
    image: Tensor  # (N, 3, h, w) in [-1, 1]
    mask: Tensor  # (N, 1, h, w) in {0, 1}

    def finish(self, decoded: Tensor, composite: bool, cell: int, rounded: bool) -> list:
        """Every picture with the decode pasted in: PIL images, or, not rounded to 8 bits, arrays (H, W, 3) in [0, 1].

        decoded (B, 3, h, w) in [-1, 1]; B/N neighbours belong to each picture. `cell`: pixels a latent.
        """
        each = len(decoded) // len(self.pictures)
        decoded = decoded.float()  # in half precision the seam's small weights would be 0
        if composite:
            image, mask = (x.repeat_interleave(each, 0).to(decoded) for x in (self.image, self.mask))
            decoded = close_seam(match_colours(decoded, image, mask, cell), image, mask, cell)
        patches = (decoded * 0.5 + 0.5).clamp(0, 1).cpu().movedim(1, -1).numpy()
        return [self._finish_one(i // each, patch, composite, rounded) for i, patch in enumerate(patches)]

    def _finish_one(self, i: int, patch: np.ndarray, composite: bool, rounded: bool):
        picture, mask, view = self.pictures[i], self.masks[i], self.windows[i]
        if not composite:
            mask = np.zeros_like(mask)
            mask[view.inside(picture.size)] = 255 if mask.dtype == np.uint8 else 1.0
        before = picture if rounded else replace(picture, pixels=unit(picture.pixels))
        pixels = paste(before, mask, patch, view)
        return to_pil(pixels, picture, mask) if rounded else pixels


def lay_out(
    pictures: Sequence[Picture],
    masks: Sequence[np.ndarray],
    model: tuple[int, int],
    margin: int | str | None,
    composite: bool,
) -> Canvas:
    """Put pictures and masks (one each, or one for all) before a model that works at `model` (width, height).

    `margin`: pixels of context around the mask, "auto", or None for the whole picture, stretched to the model's size.
    Composited, the model fills all that a mask touches; else the mask is cut at 0.5, as diffusers does.
    """
    count = max(len(pictures), len(masks))
    pictures, masks = list(pictures) * (count // len(pictures)), list(masks) * (count // len(masks))
    windows = [
        Window(0, 0, *picture.size) if margin is None else window(mask, model, margin)
        for picture, mask in zip(pictures, masks, strict=True)
    ]
    pixels = np.stack([unit(resize(view.crop(p.pixels), model)) for p, view in zip(pictures, windows, strict=True)])
    mask = torch.cat([see_mask(mask, view, model, composite) for mask, view in zip(masks, windows, strict=True)])
    image = to_tensor(pixels)
    return Canvas(pictures, masks, windows, image.contiguous() if pictures[0].planar else image, mask)


def see_mask(mask: np.ndarray, view: Window, model: tuple[int, int], composite: bool) -> Tensor:
    """A window's mask at the model's size, in {0, 1}: (H, W) -> (1, 1, h, w)."""
    mask = view.crop(mask)
    if composite:
        touched = np.where(mask > 0, np.uint8(255), np.uint8(0))
        return (to_tensor(resize(touched, model, PIL.Image.Resampling.BOX)[None]) > 0).float()
    return (to_tensor(resize(mask, model)[None]) >= 0.5).float()


def scaled(picture: Picture, size: tuple[int, int]) -> Picture:
    """A picture resized to (width, height), alpha and all."""
    if picture.size == size:
        return picture
    source = picture.source
    if source is not None and source.mode != "I;16":
        return Picture(resize(picture.pixels, size), source.resize(size, PIL.Image.Resampling.LANCZOS))
    pixels = resize(picture.pixels, size)
    if source is not None:
        source = from_values((pixels[..., 0] * 65535).round().astype(np.uint16), "I;16")
    return Picture(pixels, source)


def to_output(results: list, output_type: str, device: torch.device):
    """Results as diffusers gives them: "pil" a list, "np" (B, H, W, 3), "pt" (B, 3, H, W) on `device`, in [0, 1]."""
    if output_type == "pil":
        return results
    if len({pixels.shape for pixels in results}) > 1:
        raise ValueError("Pictures of several sizes do not fit one array; ask for output_type='pil'.")
    stack = np.stack(results)
    return stack if output_type == "np" else torch.from_numpy(stack).movedim(-1, 1).contiguous().to(device)
