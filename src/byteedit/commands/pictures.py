"""`byteedit edit`, `erase` and `outpaint`: their options, and the one pipeline call that each of them is.

What they share (files, models, seeds, checks, the record in the PNG) is done in `work`.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from byteedit.commands.command import Command, UsageError, says

if TYPE_CHECKING:
    import PIL.Image

Anchor = Literal[
    "center", "left", "right", "top", "bottom", "top-left", "top-right", "bottom-left", "bottom-right"
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PictureCommand(Command):
    """What edit, erase and outpaint have in common."""

    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], says("", "IMAGE ...")] = ()
    """Pictures, of any size and mode."""

    output: Annotated[Path | None, says("")] = None
    """Where the result goes: a PNG, or a folder, which several pictures need."""

    replay: Annotated[Path | None, says("", "PNG")] = None
    """A picture that byteedit wrote: make the same one again, from the same inputs. Goes with --output, --device and
    --debug only."""

    num_images: int = 1
    """Variations of each picture; they get the seeds SEED, SEED + 1 and so on."""

    seed: Annotated[int | None, says("a random one, recorded in the result")] = None
    """Seed of the noise; the same seed gives the same picture."""

    steps: Annotated[int | None, says("as the model or its LoRA recommends")] = None
    """Denoising steps."""

    guidance_scale: Annotated[float | None, says("as the model or its LoRA recommends")] = None
    """How strongly the prompt is followed. At 1 there is no guidance, and a step takes half the time."""

    model: str = "picturebook"
    """A folder, a .safetensors file or a hub name; "picturebook" is the small model that comes with byteedit."""

    lora: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATH[:WEIGHT]")] = ()
    """A LoRA (a path, a hub name, or the name of one that ships) and, after a colon, its weight (1 without). One that
    carries a schedule sets the defaults of --steps and --guidance-scale; of several, the last does. Without any, the
    model that ships takes its accelerated weights: fast4, to outpaint fast8; "--lora none" goes without."""

    device: Annotated[str | None, says("the accelerator, if there is one")] = None
    """Such as cpu, cuda, cuda:1 or mps."""

    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Precision of the model."""

    def run(self) -> None:
        """Make the pictures, check them, write them and say so."""
        if self.replay is None:
            self.check()
        from byteedit.commands import work  # loads torch, which wrong usage need not wait for

        work.make(self) if self.replay is None else work.replay(self)

    def check(self) -> None:
        """Raise UsageError where options are missing or contradict one another."""
        if not self.images:
            raise UsageError("no picture given; name one, as in `byteedit edit photo.png --output out.png`.")
        if self.output is None:
            raise UsageError("--output is missing; name a PNG, or a folder for several pictures.")
        if self.num_images < 1:
            raise UsageError(f"--num-images is {self.num_images}; it must be 1 or more.")

    def arguments(self) -> dict[str, Any]:
        """What every call of the pipeline gets; what was not asked for is left to the model's own defaults."""
        given = {"num_inference_steps": self.steps, "guidance_scale": self.guidance_scale}
        return {name: value for name, value in given.items() if value is not None}

    @abstractmethod
    def call(
        self, pipe, image: "PIL.Image.Image", mask: "PIL.Image.Image | None", generator, **watching
    ) -> "PIL.Image.Image":
        """The edited picture; `image` is upright. `watching`: a callback of the pipeline's, for those who look on."""

    def corner(self, size: tuple[int, int]) -> tuple[int, int]:
        """Where the input's upper left pixel lies in the result, for an input of `size` (width, height)."""
        return 0, 0


@dataclass(frozen=True, kw_only=True)
class MaskedCommand(PictureCommand):
    """A command that takes masks."""

    mask: Annotated[tuple[Path, ...], says("", "PATH ...")] = ()
    """White = generate here, black = keep, grey = blend; one for all pictures, or one for each."""

    mask_from_alpha: bool = False
    """Generate where the picture itself is transparent."""

    def check(self) -> None:
        """Raise UsageError where options are missing or contradict one another."""
        if self.mask and not self.images:
            raise UsageError("no picture given; name pictures before --mask, which takes all names that follow it.")
        super().check()
        if bool(self.mask) == self.mask_from_alpha:
            raise UsageError("where to generate? Give either --mask FILE or --mask-from-alpha.")
        if len(self.mask) > 1 and len(self.mask) != len(self.images):
            raise UsageError(
                f"{len(self.mask)} masks for {len(self.images)} pictures; give one, or one for each picture."
            )


@dataclass(frozen=True, kw_only=True)
class Edit(MaskedCommand):
    """Fill the masked region with what the prompt says."""

    prompt: Annotated[str | None, says("")] = None
    """What the region shall show."""

    negative_prompt: Annotated[str | None, says("")] = None
    """What it shall not show; counts where there is guidance, as with --guidance-scale 3."""

    def call(self, pipe, image, mask, generator, **watching):
        """The edited picture."""
        words = {"prompt": self.prompt, "negative_prompt": self.negative_prompt}
        settings = words | self.arguments() | watching
        return pipe(image=image, mask_image=mask, generator=generator, **settings).images[0]


@dataclass(frozen=True, kw_only=True)
class Erase(MaskedCommand):
    """Take what the mask covers out of the picture, and let the background go on."""

    def call(self, pipe, image, mask, generator, **watching):
        """The picture without what the mask covers."""
        return pipe.erase(image, mask, generator=generator, **self.arguments(), **watching).images[0]


@dataclass(frozen=True, kw_only=True)
class Outpaint(PictureCommand):
    """Extend the picture beyond its borders: by sides, to a size, or to an aspect ratio."""

    left: int = 0
    """Pixels to add on the left."""

    right: int = 0
    """Pixels to add on the right."""

    top: int = 0
    """Pixels to add at the top."""

    bottom: int = 0
    """Pixels to add at the bottom."""

    size: Annotated[str | None, says("", "WIDTHxHEIGHT")] = None
    """The new size in pixels, such as 1024x768."""

    aspect_ratio: Annotated[str | None, says("", "W:H")] = None
    """The new shape, such as 16:9."""

    anchor: Anchor = "center"
    """Where the picture lies in the new one, with --size or --aspect-ratio."""

    prompt: Annotated[str | None, says("")] = None
    """What the new region shall show; without it, the picture goes on."""

    negative_prompt: Annotated[str | None, says("")] = None
    """What it shall not show; counts where there is guidance, as with --guidance-scale 3."""

    def check(self) -> None:
        """Raise UsageError where options are missing or contradict one another."""
        super().check()
        ways = [
            any((self.left, self.right, self.top, self.bottom)),
            self.size is not None,
            self.aspect_ratio is not None,
        ]
        if sum(ways) != 1:
            raise UsageError("how far? Give one of --left/--right/--top/--bottom, --size or --aspect-ratio.")
        if self.size is not None:
            parse_size(self.size)

    def call(self, pipe, image, mask, generator, **watching):
        """The larger picture."""
        words = {"prompt": self.prompt, "negative_prompt": self.negative_prompt}
        sides = self.sides(image.size)
        return pipe.outpaint(image, generator=generator, **sides, **words, **self.arguments(), **watching).images[0]

    def corner(self, size):
        """Where the input's upper left pixel lies in the result, for an input of `size` (width, height)."""
        sides = self.sides(size)
        return sides["left"], sides["top"]

    def sides(self, size: tuple[int, int]) -> dict[str, int]:
        """How many pixels each side of a picture of `size` (width, height) grows."""
        from byteedit.pipeline.outpaint import sides_of

        target = None if self.size is None else parse_size(self.size)
        asked = (self.left, self.right, self.top, self.bottom)
        found = sides_of(size, asked, target, self.aspect_ratio, self.anchor.replace("-", " "))
        return dict(zip(("left", "right", "top", "bottom"), found, strict=True))


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of "1024x768". Raises UsageError for anything else."""
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise UsageError(f"--size is {text!r}; it must be WIDTHxHEIGHT in pixels, such as 1024x768.")
    return int(width), int(height)


def parse_lora(text: str) -> tuple[str, float]:
    """Path and weight of "PATH" or "PATH:WEIGHT"."""
    path, _, weight = text.rpartition(":")
    try:
        found = (path, float(weight)) if path else (text, 1.0)
    except ValueError:  # the colon belongs to the path
        return text, 1.0
    if not math.isfinite(found[1]):
        raise UsageError(f"--lora is {text!r}; its weight must be a number, such as {path}:0.7.")
    return found
