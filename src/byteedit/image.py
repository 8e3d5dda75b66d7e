"""Pictures and masks on their way to the model and back: read, crop to a window, paste.

A picture is a `Picture`, a mask an array (H, W) in [0, 1], 1 = generate; the model sees (B, 3, H, W) in [-1, 1] and
(B, 1, H, W) in {0, 1}. What the mask leaves black comes back with the very values that came in, in every mode. No
models here.
"""

from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageOps
import torch
from torch import Tensor

ORIENTATION = 0x0112  # EXIF tag; 1 is upright
SMALLEST, LARGEST = 8, 20_000  # pixels a side
KEPT_MODES = ("RGB", "RGBA", "L", "LA", "CMYK", "I;16")  # modes that can hold any edited picture; others are converted
CONVERTED_MODES = {"1": "L", "P": "RGB", "PA": "RGBA", "RGBX": "RGB", "RGBa": "RGBA", "La": "LA", "I": "I;16"}


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

    def uncrop(self, pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The part of the window's content that lies in the picture: (height, width, ...) -> (h, w, ...)."""
        rows, columns = self.inside(size)
        return pixels[
            rows.start - self.top : rows.stop - self.top, columns.start - self.left : columns.stop - self.left
        ]


def read_pictures(image) -> list[Picture]:
    """Pictures from PIL images, arrays (H, W, C) or (B, H, W, C), tensors (C, H, W) or (B, C, H, W), or a list of
    these.

    Floats are in [0, 1], or in [-1, 1] if any is negative; uint8 in 0..255. Raises ValueError for anything else.
    """
    return [picture_from_pil(i) if isinstance(i, PIL.Image.Image) else picture_from_array(i) for i in rows_of(image, 3)]


def read_masks(mask_image) -> list[np.ndarray]:
    """Masks (H, W), uint8 or floats in [0, 1], white = generate: from what `read_pictures` takes, channel or not.

    Of colours the luminance counts, as far as they are opaque; a tensor (3, H, W) is three masks.
    """
    masks = []
    for mask in rows_of(mask_image, 2):
        check_white(mask)
        if isinstance(mask, PIL.Image.Image):
            masks.append(painted(upright(mask)))
        elif mask.dtype == np.uint8:
            masks.append(mask[..., 0] if mask.shape[-1] < 3 else painted(PIL.Image.fromarray(mask)))
        else:
            mask = unit_range(mask, "mask_image")
            masks.append(mask[..., 0] if mask.shape[-1] < 3 else mask[..., :3] @ np.float32([0.299, 0.587, 0.114]))
    return masks


def check_white(mask: PIL.Image.Image | np.ndarray) -> None:
    """Raise ValueError for a mask whose white is not what its type has for white: nothing would be generated."""
    mode = mask.mode if isinstance(mask, PIL.Image.Image) else ""
    if mode == "F":
        raise ValueError("mask_image has mode F, which has no white; give mode L, or an array of floats in [0, 1].")
    if mode == "I" and 0 < np.asarray(mask).max() <= 255:
        raise ValueError("mask_image has mode I, where white is 65535, and its largest value is below; give mode L.")
    if not mode and mask.dtype == np.uint8 and mask.max(initial=0) == 1:
        raise ValueError("mask_image has 0 and 1 as uint8, where white is 255; multiply it by 255, or give bool.")


def rows_of(batch, unbatched: int) -> list:
    """Single pictures: PIL images as they are, arrays and tensors as float or uint8 arrays (H, W, C)."""
    if isinstance(batch, (list, tuple)):
        if not batch:
            raise ValueError("An empty list of pictures came; give at least one.")
        return [row for item in batch for row in rows_of(item, unbatched)]
    if isinstance(batch, PIL.Image.Image):
        return [batch]
    if isinstance(batch, Tensor):
        batch = batch.detach().cpu()
        batch = batch.float() if batch.dtype == torch.bfloat16 else batch  # numpy has none
        return [row.movedim(0, -1).numpy() for row in batched(batch, unbatched, channel=-3)]
    if isinstance(batch, np.ndarray):
        return list(batched(batch, unbatched, channel=-1))
    raise ValueError(
        f"{type(batch).__name__} is not a picture; give a PIL image, a numpy array, a torch tensor or a list."
    )


def batched(array, unbatched: int, channel: int):
    """Add the batch and channel axes that are missing, to (B, C, H, W) or (B, H, W, C)."""
    coloured = channel == -1 and array.shape[-1:] in ((3,), (4,))  # masks so narrow there are none
    if array.ndim == 2 or (array.ndim == 3 and unbatched == 2 and array.shape[channel] != 1 and not coloured):
        array = array[..., None, :, :] if channel == -3 else array[..., None]
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4:
        raise ValueError(
            f"An array of shape {tuple(array.shape)} is not a picture; give (H, W, C), (C, H, W) or a batch."
        )
    return array


def unit_range(array: np.ndarray, name: str) -> np.ndarray:
    """Floats in [0, 1] of an array in [0, 1] or, if any value is negative, [-1, 1]; checked: no NaN, no other range."""
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has NaN or infinite values; replace them, for example with numpy.nan_to_num.")
    if array.min() < -1 or array.max() > 1:
        raise ValueError(
            f"{name} has values in [{array.min():g}, {array.max():g}]; floats must be in [0, 1]: divide by 255."
        )
    return array * 0.5 + 0.5 if array.min() < 0 else array


def picture_from_array(array: np.ndarray) -> Picture:
    """A picture of an array (H, W, 1) or (H, W, 3); a single channel is grey."""
    if array.shape[-1] not in (1, 3):
        raise ValueError(
            f"image has {array.shape[-1]} channels; give 3 (RGB) or 1 (grey), or a PIL image to keep alpha."
        )
    pixels = array if array.dtype == np.uint8 else unit_range(array, "image")
    planar = array.strides[-1] != array.itemsize
    return Picture(np.repeat(pixels, 3, axis=-1) if array.shape[-1] == 1 else pixels, planar=planar)


def picture_from_pil(image: PIL.Image.Image) -> Picture:
    """An upright picture in a mode that can hold any edit: 1 -> L, P -> RGB or RGBA, I -> I;16, others stay."""
    image = upright(image)
    if image.mode not in KEPT_MODES:
        image = convert_mode(image)
    if image.mode == "I;16":
        grey = luminance(image)
        return Picture(np.repeat(grey[..., None], 3, axis=-1), image)
    return Picture(np.asarray(image.convert("RGB")), image)


def upright(image: PIL.Image.Image) -> PIL.Image.Image:
    """The picture as its EXIF orientation wants it seen; itself, not a copy, where that is how it lies."""
    return image if image.getexif().get(ORIENTATION, 1) == 1 else PIL.ImageOps.exif_transpose(image)


def convert_mode(image: PIL.Image.Image) -> PIL.Image.Image:
    """A copy in the nearest kept mode. Raises ValueError for floating point images, whose range nobody knows."""
    if image.mode == "F":
        raise ValueError(
            "A PIL image of mode F has no known range; give a float array in [0, 1], or image.convert('L')."
        )
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode in ("I", "I;16B", "I;16L", "I;16N"):
        return PIL.Image.fromarray(np.asarray(image).clip(0, 65535).astype(np.uint16))
    return image.convert(CONVERTED_MODES.get(image.mode, "RGB"))


def luminance(image: PIL.Image.Image) -> np.ndarray:
    """Grey values (H, W): uint8, or float32 in [0, 1] for 16-bit images."""
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.float32) / 65535.0
    return np.asarray(image.convert("L"))


def painted(mask: PIL.Image.Image) -> np.ndarray:
    """Grey values of a mask, black where nothing is painted: white counts as far as it is opaque."""
    if mask.mode not in ("RGBA", "LA"):
        return luminance(mask)
    black = PIL.Image.new(mask.mode, mask.size, (0, 0, 0, 255)[-len(mask.mode) :])
    return luminance(PIL.Image.alpha_composite(black.convert("RGBA"), mask.convert("RGBA")))


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
    left, top, right, bottom = mask_box(mask)
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


def mask_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is not black; the whole mask when all is."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return 0, 0, mask.shape[1], mask.shape[0]
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def place(centre: int, extent: int, available: int) -> int:
    """Start of an extent around a centre, moved to lie within what is available; centred where it is too large."""
    if extent >= available:
        return (available - extent) // 2
    return int(min(max(centre - extent // 2, 0), available - extent))


def resize(pixels: np.ndarray, size: tuple[int, int], resample=PIL.Image.Resampling.LANCZOS) -> np.ndarray:
    """Resize (H, W) or (H, W, 3) to `size` (width, height), antialiased; uint8 stays uint8, floats stay in [0, 1]."""
    if pixels.shape[:2] == (size[1], size[0]):
        return pixels
    if pixels.dtype == np.uint8:
        return np.asarray(PIL.Image.fromarray(pixels).resize(size, resample))
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    resized = [PIL.Image.fromarray(plane).resize(size, resample) for plane in np.moveaxis(planes, -1, 0)]
    return np.stack(resized, axis=-1).clip(0, 1).reshape(size[1], size[0], *pixels.shape[2:])


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Pictures (B, H, W, 3) -> (B, 3, H, W) in [-1, 1]; masks (B, H, W) -> (B, 1, H, W) in [0, 1]. Floats, or uint8."""
    tensor = torch.from_numpy(np.ascontiguousarray(unit(pixels)))
    return tensor[:, None] if tensor.ndim == 3 else 2.0 * tensor.movedim(-1, 1) - 1.0


def paste(picture: Picture, mask: np.ndarray, patch: np.ndarray, window: Window) -> np.ndarray:
    """Blend a window's content into the picture: m patch + (1 - m) picture, exactly the picture where m = 0.

    mask (H, W), patch (height, width, 3) in [0, 1] -> (H, W, 3), uint8 or float32 in [0, 1] like the picture.
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
    edited = PIL.Image.fromarray(pixels if pixels.dtype == np.uint8 else (pixels * 255).round().astype(np.uint8))
    if picture.source is None or picture.source.mode == "RGB":
        return edited
    before = np.asarray(picture.source)
    if picture.source.mode == "I;16":
        after = (pixels @ np.float32([0.299, 0.587, 0.114]) * 65535).round().astype(np.uint16)
    else:
        after = np.array(edited.convert(picture.source.mode))
    if picture.source.mode in ("RGBA", "LA"):
        after[..., -1] = before[..., -1]
    changed = mask > 0 if after.ndim == 2 else mask[..., None] > 0
    return from_values(np.where(changed, after, before), picture.source.mode)


def from_values(values: np.ndarray, mode: str) -> PIL.Image.Image:
    """A PIL image of a kept mode; (H, W, 4) may be RGBA or CMYK, which an array does not tell."""
    return PIL.Image.frombytes(mode, values.shape[1::-1], np.ascontiguousarray(values).tobytes())
