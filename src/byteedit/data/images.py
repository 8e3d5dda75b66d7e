"""Images as rows hold them, `{"bytes": ..., "path": ...}` as in `datasets`, and as PIL images: decoded late.

Files come from strangers: only formats that PIL decodes by itself are opened, and what is too large, truncated or no
picture at all is `Unusable`. No tensors here.
"""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps

from byteedit.files import FORMATS

__all__ = ["BROKEN", "Unusable", "is_blank", "open_image", "store"]

LARGEST = PIL.Image.MAX_IMAGE_PIXELS  # 89 megapixels; more is taken for a decompression bomb

BROKEN = {"bytes": b"", "path": None}
"""What a row holds for what is no image, as `open_image` will find."""


class Unusable(ValueError):
    """A row that cannot be used. The text is the reason, as `Skipped` counts it."""


def store(value: Any, root: Path | None = None) -> Any:
    """An image as a row holds it, not decoded: `{"bytes": ..., "path": ...}` with one of the two, or None.

    Takes a path (relative to `root`), bytes, a dictionary of both, whose bytes may be base64 text as in JSON, or a list
    of these, which becomes a list. Anything else is `BROKEN`.
    """
    if isinstance(value, list):
        return [BROKEN if isinstance(one, list) else store(one, root) for one in value]
    if isinstance(value, dict) and (content := value.get("bytes")) is not None:
        value = _from_base64(content) if isinstance(content, str) else content
    elif isinstance(value, dict):
        value = value.get("path")
    if isinstance(value, bytes):
        return {"bytes": value, "path": None}
    if isinstance(value, str | Path):
        return {"bytes": None, "path": str(root / value) if root else str(value)}
    return None if value is None else BROKEN


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except ValueError:  # also for letters beyond ASCII
        return BROKEN["bytes"]


def open_image(image: dict | None, mode: str = "RGB") -> PIL.Image.Image:
    """The PIL image of what a row holds, upright, of `mode` "RGB" or "L"; the first of several frames.

    Raises:
        Unusable: "missing image" where there is none, "broken image" where it cannot be read or decoded to its end, is
            of none of `FORMATS`, has more than `LARGEST` pixels, or floats, whose range nobody knows.
    """
    content = _read(image)
    try:
        opened = PIL.Image.open(io.BytesIO(content), formats=FORMATS)
        if opened.width * opened.height > LARGEST:
            raise ValueError(f"{opened.width} x {opened.height} pixels")
        opened.load()
        return _to_8_bits(_upright(opened)).convert(mode)
    except Exception as error:  # decoders answer strange bytes with nearly every kind of error
        raise Unusable("broken image") from error


def _read(image: dict | None) -> bytes:
    if image is None:
        raise Unusable("missing image")
    if image["bytes"] is not None:
        return image["bytes"]
    path = Path(image["path"])
    if not _is_file(path):  # nor a device, nor an address in the network
        raise Unusable("missing image")
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unusable("broken image") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, such as a picture written out as one; a folder that is closed to us
        return False


def _upright(image: PIL.Image.Image) -> PIL.Image.Image:
    """The image as its EXIF orientation wants it seen; as it lies, where its EXIF data are broken.

    As `byteedit.reading.upright`, which cannot be had without torch.
    """
    try:
        return PIL.ImageOps.exif_transpose(image)
    except Exception:  # it has been decoded, so these are what is wrong, and PIL answers them with any kind of error
        return image


def _to_8_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """16 bits become 8, by the rules of `byteedit.reading`, which refuses floats with a ValueError."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    from byteedit.reading import convert_mode  # here, since it loads torch

    deep = image if image.mode == "I;16" else convert_mode(image)
    return PIL.Image.fromarray((np.asarray(deep) // 257).astype(np.uint8))


def is_blank(pixels: np.ndarray, least: float = 2 / 255) -> bool:
    """Whether a picture (H, W, C) in [0, 1] shows nothing: values not finite, or no channel that varies by `least`.

    Such come from half precision gone wrong, and from safety checkers, which paint pictures black.
    """
    return not np.isfinite(pixels).all() or bool(pixels.std(axis=(0, 1)).max() < least)
