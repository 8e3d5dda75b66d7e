"""Pictures and masks as they come in: PIL images of any mode, arrays, tensors, and lists of these.

A picture becomes an `image.Picture`, a mask an array (H, W) in [0, 1] or uint8, white = generate. Whatever cannot be
meant is a ValueError in words: masks without white, values of no known range, NaN. No models here.
"""

import warnings
from collections.abc import Callable

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from byteedit.image import LUMA, Picture

ORIENTATION = 0x0112  # EXIF tag; 1 is upright
TURNS = {  # by the tag's value, what turns a picture upright
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
TURNED = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")  # where PIL finds that tag
OVERSHOOT = 0.05  # by which resized floats may leave [0, 1]; they are cut to it
KEPT_MODES = ("RGB", "RGBA", "L", "LA", "CMYK", "I;16")  # modes that can hold any edited picture; others are converted
CONVERTED_MODES = {"1": "L", "P": "RGB", "PA": "RGBA", "RGBX": "RGB", "RGBa": "RGBA", "La": "LA", "I": "I;16"}
SEE_THROUGH = {"P": "RGBA", "RGB": "RGBA", "L": "LA", "1": "LA"}  # what holds a mode in which one colour is transparent


def read_pictures(image) -> list[Picture]:
    """Pictures from PIL images, arrays (H, W, C) or (B, H, W, C), tensors (C, H, W) or (B, C, H, W), or a list of
    these.

    Floats are in [0, 1], or in [-1, 1] if any of an array or tensor is negative by more than what resizing overshoots;
    uint8 in 0..255. Raises ValueError for anything else.
    """
    rows = rows_of(image, 3, image_values)
    return [picture_from_pil(row) if isinstance(row, PIL.Image.Image) else picture_from_array(row) for row in rows]


def read_masks(mask_image) -> list[np.ndarray]:
    """Masks (H, W), uint8 or floats in [0, 1], white = generate: from what `read_pictures` takes, channel or not.

    Of colours the luminance counts, as far as they are opaque; a tensor (3, H, W) is three masks. What is negative is
    black, as it is for diffusers.
    """
    masks = []
    for mask in rows_of(mask_image, 2, mask_values):
        check_white(mask)
        if isinstance(mask, PIL.Image.Image):
            masks.append(painted(upright(mask)))
        elif mask.dtype == np.uint8:
            masks.append(mask[..., 0] if mask.shape[-1] < 3 else painted(PIL.Image.fromarray(mask)))
        else:
            masks.append(mask[..., 0] if mask.shape[-1] < 3 else mask[..., :3] @ LUMA)
    return masks


def check_white(mask: PIL.Image.Image | np.ndarray) -> None:
    """Raise ValueError for a mask whose white is not what its type has for white: nothing would be generated."""
    if not isinstance(mask, PIL.Image.Image):
        if mask.dtype == np.uint8 and mask.max(initial=0) == 1:
            raise ValueError("mask_image has 0 and 1 as uint8, where white is 255; multiply it by 255, or give bool.")
    elif mask.mode == "F":
        raise ValueError("mask_image has mode F, which has no white; give mode L, or an array of floats in [0, 1].")
    elif mask.mode.startswith("I") and 0 < np.asarray(mask).max() <= 255:
        raise ValueError(
            f"mask_image has mode {mask.mode}, where white is 65535, and its largest value is below 256; give mode L."
        )
    elif mask.mode == "L" and mask.getextrema() == (0, 1):
        raise ValueError("mask_image has 0 and 1 in mode L, where white is 255; multiply it by 255, or give mode 1.")


def rows_of(batch, unbatched: int, values: Callable[[np.ndarray], np.ndarray]) -> list:
    """Single pictures: PIL images as they are, arrays and tensors as arrays (H, W, C) of their `values`."""
    if isinstance(batch, (list, tuple)):
        if not batch:
            raise ValueError("An empty list of pictures came; give at least one.")
        return [row for item in batch for row in rows_of(item, unbatched, values)]
    if isinstance(batch, PIL.Image.Image):
        return [batch]
    if isinstance(batch, Tensor | np.ndarray) and 0 in batch.shape:
        raise ValueError(f"An array of shape {tuple(batch.shape)} came, so there is nothing in it; give a picture.")
    if isinstance(batch, Tensor):
        batch = batch.detach().cpu()
        batch = batch.float() if batch.dtype == torch.bfloat16 else batch  # numpy has none
        return list(np.moveaxis(values(batched(batch, unbatched, channel=-3).numpy()), 1, -1))
    if isinstance(batch, np.ndarray):
        return list(values(batched(batch, unbatched, channel=-1)))
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


def image_values(array: np.ndarray) -> np.ndarray:
    """uint8 as it is; floats of pictures, in [0, 1] or [-1, 1], in [0, 1]."""
    if array.dtype == np.uint8:
        return array
    array = checked(array, "image")
    if array.min() < -OVERSHOOT:
        array = array * 0.5 + 0.5
    return array.clip(0, 1)


def mask_values(array: np.ndarray) -> np.ndarray:
    """uint8 as it is; bools and floats of masks in [0, 1]."""
    return array if array.dtype == np.uint8 else checked(array, "mask_image").clip(0, 1)


def checked(array: np.ndarray, name: str) -> np.ndarray:
    """Floats of an array, without NaN and about in [-1, 1]. Raises ValueError where they are not."""
    values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} has NaN or infinite values; replace them, for example with numpy.nan_to_num.")
    if values.min() < -1 - OVERSHOOT or values.max() > 1 + OVERSHOOT:
        has = f"{name} has values in [{values.min():g}, {values.max():g}] as {array.dtype}"
        raise ValueError(f"{has}; floats must be in [0, 1]: divide by 255, or give uint8.")
    return values


def picture_from_array(array: np.ndarray) -> Picture:
    """A picture of an array (H, W, 1) or (H, W, 3), uint8 or floats in [0, 1]; a single channel is grey."""
    if array.shape[-1] not in (1, 3):
        raise ValueError(
            f"image has {array.shape[-1]} channels; give 3 (RGB) or 1 (grey), or a PIL image to keep alpha."
        )
    planar = array.strides[-1] != array.itemsize
    return Picture(np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array, planar=planar)


def picture_from_pil(image: PIL.Image.Image) -> Picture:
    """An upright picture in a mode that can hold any edit: 1 -> L, P -> RGB or RGBA, I -> I;16, others stay.

    One in which a colour is transparent (PNG's tRNS) gets alpha.
    """
    image = upright(image)
    if image.mode not in KEPT_MODES or (image.mode in SEE_THROUGH and "transparency" in image.info):
        image = convert_mode(image)
    if image.mode == "I;16":
        grey = luminance(image)
        return Picture(np.repeat(grey[..., None], 3, axis=-1), image)
    return Picture(np.asarray(image.convert("RGB")), image)


def upright(image: PIL.Image.Image) -> PIL.Image.Image:
    """The picture as its EXIF orientation wants it seen; itself, not a copy, where that is how it lies.

    Not by `PIL.ImageOps`, which writes the EXIF data anew and stops where these are broken.
    """
    turn = TURNS.get(read_exif(image).get(ORIENTATION, 1))
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.info = {key: value for key, value in image.info.items() if key not in TURNED}
    return turned


def read_exif(image: PIL.Image.Image) -> PIL.Image.Exif:
    """A picture's EXIF data; none, and a warning, where they are broken."""
    try:
        exif = image.getexif()
        exif.get(ORIENTATION)  # values are decoded when they are asked for
        return exif
    except Exception:  # cameras and editors write whatever they like, and PIL raises accordingly
        warnings.warn("The picture's EXIF data are broken; they are left out.", stacklevel=2)
        return PIL.Image.Exif()


def convert_mode(image: PIL.Image.Image) -> PIL.Image.Image:
    """A copy in the nearest kept mode. Raises ValueError for floating point images, whose range nobody knows."""
    if image.mode == "F":
        raise ValueError(
            "A PIL image of mode F has no known range; give a float array in [0, 1], or image.convert('L')."
        )
    if image.mode in SEE_THROUGH and "transparency" in image.info:
        return image.convert(SEE_THROUGH[image.mode])
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
    if mask.mode == "La":
        mask = mask.convert("LA")
    if not mask.has_transparency_data or mask.mode.startswith("I"):
        return luminance(mask)
    mask = mask.convert("RGBA")
    return luminance(PIL.Image.alpha_composite(PIL.Image.new("RGBA", mask.size, (0, 0, 0, 255)), mask))
