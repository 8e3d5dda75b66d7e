"""Pictures to try in the editor, each with a mask and words: small PNGs drawn from the picturebook, which ship."""

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import PIL.Image

import byteedit
from byteedit.app.photo import Photo, read_photo

FOLDER = Path(byteedit.PICTUREBOOK).parent / "examples"


@dataclass(frozen=True)
class Example:
    """A picture, its mask, and a prompt that fits."""

    stem: str
    prompt: str

    @cached_property
    def picture(self) -> PIL.Image.Image:
        """The picture."""
        return self.photo().image.convert("RGB")

    @cached_property
    def mask(self) -> PIL.Image.Image:
        """The mask, white = generate."""
        return PIL.Image.open(io.BytesIO((FOLDER / f"{self.stem}-mask.png").read_bytes()))

    def photo(self) -> Photo:
        """The picture as if it were uploaded."""
        name = f"{self.stem}.png"
        return read_photo((FOLDER / name).read_bytes(), name, megapixels=1, megabytes=1)


EXAMPLES = (
    Example("beach", "a large red heart on the beach"),
    Example("meadow", "a large orange mushroom in a green meadow"),
    Example("snow", "a large green tree in the snow"),
    Example("sunset", "a medium white fish at sunset"),
)
