"""Images as rows hold them, `{"bytes": ..., "path": ...}` as in `datasets`, and as PIL images: decoded late.

Files come from strangers: only formats that PIL decodes by itself are opened, and what is too large, truncated or no
picture at all is `Unusable`. No tensors here.
"""

import base64
import binascii
import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps

__all__ = ["Unusable", "is_blank", "open_image", "store"]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # EPS, for one, would start another program
LARGEST = PIL.Image.MAX_IMAGE_PIXELS  # 89 megapixels; more is taken for a decompression bomb


class Unusable(ValueError):
    """A row that cannot be used. The text is the reason, as `Skipped` counts it."""


def store(value: Any, root: Path | None = None) -> Any:
    """An image as a row holds it, not decoded: `{"bytes": ..., "path": ...}` with one of the two, or None.

    Takes a path (relative to `root`), bytes, a dictionary of both, whose bytes may be base64 text as in JSON, or a list
    of these, which becomes a list.
    """
    if isinstance(value, list):
        return [store(one, root) for one in value]
    if isinstance(value, bytes):
        return {"bytes": value, "path": None}
    if isinstance(value, dict) and value.get("bytes") is not None:
        content = value["bytes"]
        return store(_from_base64(content) if isinstance(content, str) else content)
    path = value.get("path") if isinstance(value, dict) else value
    if path is None:
        return None
    return {"bytes": None, "path": str(root / path) if root else str(path)}


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except binascii.Error:
        return b""  # no picture, as `open_image` will find


def open_image(image: dict | None, mode: str = "RGB") -> PIL.Image.Image:
    """The PIL image of what a row holds, upright, of `mode` "RGB" or "L"; the first of several frames.

    Raises:
        Unusable: "missing image" where there is none, "broken image" where it cannot be decoded to its end, is of none
            of `FORMATS` or has more than `LARGEST` pixels.
    """
    content = _read(image)
    try:
        opened = PIL.Image.open(io.BytesIO(content), formats=FORMATS)
        if opened.width * opened.height > LARGEST:
            raise ValueError(f"{opened.width} x {opened.height} pixels")
        opened.load()
        return _to_8_bits(PIL.ImageOps.exif_transpose(opened)).convert(mode)
    except Exception as error:  # decoders answer strange bytes with nearly every kind of error
        raise Unusable("broken image") from error


def _read(image: dict | None) -> bytes:
    if image is None:
        raise Unusable("missing image")
    if image["bytes"] is not None:
        return image["bytes"]
    path = Path(image["path"])
    if not path.is_file():  # nor a device, nor an address in the network
        raise Unusable("missing image")
    return path.read_bytes()


def _to_8_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    if not image.mode.startswith("I;16"):
        return image
    return PIL.Image.fromarray((np.asarray(image) // 257).astype(np.uint8))


def is_blank(pixels: np.ndarray, least: float = 2 / 255) -> bool:
    """Whether a picture (H, W, C) in [0, 1] shows nothing: values not finite, or no channel that varies by `least`.

    Such come from half precision gone wrong, and from safety checkers, which paint pictures black.
    """
    return not np.isfinite(pixels).all() or bool(pixels.std(axis=(0, 1)).max() < least)
