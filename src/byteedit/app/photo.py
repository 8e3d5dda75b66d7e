"""A picture as a visitor gave it: the file, bounded and read with care, and the small copy that a browser paints on.

What is edited is the file: its full resolution, alpha, 16 bits and colour profile. Masks come from the browser at the
copy's size and are scaled up. Nothing here writes to disk.
"""

import base64
import binascii
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import PIL.Image
import PIL.ImageChops
import PIL.ImageOps

from byteedit.commands.work import as_edited
from byteedit.files import FORMATS, reading_picture
from byteedit.image import levels, resize
from byteedit.reading import read_masks, read_pictures

COPY = 1600  # pixels a side of the browser's copy, at most
LOSSLESS = 512  # pixels a side up to which the copy is a PNG


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One picture to be edited."""

    name: str  # of the file, without folders
    content: bytes  # of the file, as it came
    image: PIL.Image.Image  # upright
    tags: dict[str, bytes]  # colour profile and EXIF data, where there are

    @property
    def sha256(self) -> str:
        """Of the file's bytes, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return Path(self.name).stem

    def opaque(self) -> "Photo":
        """The same without its alpha, as `--mask-from-alpha` edits it."""
        return replace(self, image=self.image.convert(self.image.mode.removesuffix("A")))


def read_photo(content: bytes, name: str, megapixels: float, megabytes: float) -> Photo:
    """A photo from a file's bytes. Raises ValueError for what is no picture, or too large."""
    if len(content) > megabytes * 1e6:
        raise ValueError(
            f"{name} has {len(content) / 1e6:.0f} MB; {megabytes:g} MB are the most. Save it smaller, for example as"
            " JPEG."
        )
    image = open_bounded(content, name, megapixels)
    image, tags = as_edited(image)
    return Photo(name=Path(name).name, content=content, image=image, tags=tags)


def open_bounded(content: bytes, name: str, megapixels: float) -> PIL.Image.Image:
    """A picture, read to its end, if its header promises no more than `megapixels`."""
    with reading_picture(name):
        image = PIL.Image.open(io.BytesIO(content), formats=FORMATS)
        width, height = image.size
        if width * height > megapixels * 1e6:
            raise ValueError(
                f"{name} is {width} x {height} pixels, {width * height / 1e6:.0f} megapixels; {megapixels:g} are the"
                " most. Make it smaller first."
            )
        image.load()
    return image


def copy_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the browser's copy of a picture."""
    scale = min(1.0, COPY / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def browser_copy(image: PIL.Image.Image, tags: Mapping[str, bytes]) -> str:
    """A picture as the browser shows it: a small PNG or JPEG in a data address."""
    size = copy_size(image.size)
    pixels = levels(resize(read_pictures(image)[0].pixels, size))
    copy = PIL.Image.fromarray(pixels)
    alpha = image.mode in ("RGBA", "LA")
    if alpha:
        copy.putalpha(image.getchannel("A").resize(size))
    profile = tags.get("icc_profile") if image.mode in ("RGB", "RGBA") else None
    return data_address(copy, "PNG" if alpha or max(size) <= LOSSLESS else "JPEG", icc_profile=profile)


def data_address(image: PIL.Image.Image, kind: str = "JPEG", **options) -> str:
    """A picture in a data address."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 90} if kind == "JPEG" else {}), **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def painted_mask(address: str | None, size: tuple[int, int]) -> PIL.Image.Image:
    """The mask that was painted on the copy of a picture of `size`, at the picture's own size, mode L.

    Raises ValueError where nothing was painted, or what came is no mask.
    """
    head, _, body = (address or "").partition(",")
    if head != "data:image/png;base64":
        raise ValueError("There is no mask yet; paint over what should change.")
    try:
        image = open_bounded(base64.b64decode(body, validate=True), "The mask", COPY**2 / 1e6)
    except binascii.Error as error:
        raise ValueError("The mask arrived broken; please paint it again.") from error
    mask = mask_of(image)
    if mask.size != copy_size(size):
        raise ValueError(
            f"The mask is {mask.width} x {mask.height} pixels, the picture's copy {copy_size(size)}; reload the page."
        )
    if not mask.getbbox():
        raise ValueError("Nothing is painted yet; paint over what should change.")
    return mask.resize(size, PIL.Image.Resampling.BILINEAR) if mask.size != size else mask


def mask_of(image: PIL.Image.Image) -> PIL.Image.Image:
    """A mask's grey values as the command line reads them, mode L, white = generate."""
    return PIL.Image.fromarray(levels(read_masks(image)[0]))


def alpha_mask(image: PIL.Image.Image) -> PIL.Image.Image:
    """The mask that generates where a picture is transparent. Raises ValueError where it has no alpha."""
    if image.mode not in ("RGBA", "LA"):
        raise ValueError("This picture has no transparent parts; paint the mask, or open one.")
    return PIL.ImageOps.invert(image.getchannel("A"))


def reaches_transparent(mask: PIL.Image.Image, image: PIL.Image.Image) -> bool:
    """Whether a mask generates where a picture with alpha is transparent."""
    return PIL.ImageChops.multiply(mask, alpha_mask(image)).getbbox() is not None


def mask_copy(mask: PIL.Image.Image, size: tuple[int, int]) -> str:
    """A mask for a picture of `size` as the browser's painter takes it. Raises ValueError for another size."""
    if mask.size != size:
        raise ValueError(
            f"The mask is {mask.width} x {mask.height} pixels, the picture {size[0]} x {size[1]}; they must have one"
            " size."
        )
    return data_address(mask_of(mask).resize(copy_size(size), PIL.Image.Resampling.BILINEAR), "PNG")
