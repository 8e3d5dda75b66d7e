"""One picture for a program: bytes and words in, a result out. The API endpoint and inference endpoints share it."""

import re
import secrets
import tempfile
from pathlib import Path

from byteedit.app.line import Line
from byteedit.app.making import Made, make
from byteedit.app.photo import Photo, mask_of, open_bounded, read_photo
from byteedit.app.session import Result
from byteedit.app.settings import Settings
from byteedit.commands.pictures import Edit, Erase, Outpaint, PictureCommand
from byteedit.commands.work import settle

WORDS = 1000  # letters of a prompt
SHAPE = re.compile(r"\d+[xX]\d+|[\d. ]+(:[\d. ]+)?")


def answer(
    settings: Settings,
    image: bytes,
    mask: bytes | None = None,
    prompt: str = "",
    task: str = "edit",
    line: Line | None = None,
    name: str = "image.png",
    seed: int | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    lora: str | None = None,
    negative_prompt: str = "",
    **extent,
) -> Result:
    """Edit, erase or outpaint one picture, with the model's own LoRA, or another, or "none".

    `extent` is what `extension` takes. Raises ValueError in words.
    """
    photo = read_photo(image, name, settings.megapixels, settings.megabytes)
    common = {"model": settings.model, "device": settings.device, "dtype": settings.dtype}
    common |= {"seed": secrets.randbits(32) if seed is None else int(seed), "guidance_scale": guidance_scale}
    if not 0 <= common["seed"] < 2**63:
        raise ValueError(f"seed is {seed}; give a whole number from 0 to 2^63 - 1.")
    common |= {
        "steps": None if steps is None else int(steps),
        "lora": (lora,) if lora not in (None, "", "default") else (),
    }
    check_words(prompt, negative_prompt)
    words = {"prompt": prompt or None, "negative_prompt": negative_prompt or None}
    command = settle(command_for(task, words, common, extent))
    check_bounds(command, photo.image.size, settings.megapixels)
    drawn = None
    if task != "outpaint":
        if mask is None:
            raise ValueError("The mask is missing; give one of the picture's size, white where to generate.")
        drawn = mask_of(open_bounded(mask, "The mask", settings.megapixels))
    line = Line(settings.queue) if line is None else line
    with tempfile.TemporaryDirectory() as folder:
        *_, made = make(line, command, photo.image, drawn, Path(folder) / "stop", settings.limit)
    if made.stopped_after is not None:
        raise ValueError(f"The picture took more than {settings.limit:g} minutes; ask for less of it, or fewer steps.")
    return result_of(made, photo, drawn)


def command_for(task: str, words: dict, common: dict, extent: dict) -> PictureCommand:
    """The command of a task. Raises ValueError for an unknown one."""
    if task == "edit":
        return Edit(**words, **common)
    if task == "erase":
        return Erase(**common)
    if task == "outpaint":
        return Outpaint(**words, **extension(**extent), **common)
    raise ValueError(f"task is {task!r}; give edit, erase or outpaint.")


def extension(
    shape: str | None = "by sides",
    anchor: str | None = "center",
    left: float | None = 0,
    right: float | None = 0,
    top: float | None = 0,
    bottom: float | None = 0,
) -> dict:
    """How far to outpaint, as the command has it: by sides, to a size ("1024x768") or to an aspect ratio ("16:9").

    Raises ValueError in the words of the page, which are those of the endpoint, too.
    """
    if shape in (None, "by sides"):
        sides = {"left": left, "right": right, "top": top, "bottom": bottom}
        if not any(sides.values()):
            raise ValueError("Nothing says how far to go; give pixels for left, right, top or bottom, or a shape.")
        return {name: int(pixels or 0) for name, pixels in sides.items()}
    if not SHAPE.fullmatch(shape):
        raise ValueError(f"The new shape is {shape!r}; give a ratio such as 16:9, or a size such as 1024x768.")
    return {"size" if "x" in shape.lower() else "aspect_ratio": shape, "anchor": anchor or "center"}


def check_words(*words: str | None) -> None:
    """Raise ValueError for words that are too many, or that hold half a character."""
    longest = max(len(said or "") for said in words)
    if longest > WORDS:
        raise ValueError(f"The words are {longest} letters; {WORDS} are the most.")
    if any("\ud800" <= letter <= "\udfff" for said in words for letter in said or ""):
        raise ValueError("The words hold half a character, which nothing can be made of; type them anew.")


def check_bounds(command: PictureCommand, size: tuple[int, int], megapixels: float) -> None:
    """Raise ValueError where a picture of `size` cannot be outpainted so, or would become too large."""
    if not isinstance(command, Outpaint):
        return
    sides = command.sides(size)
    width, height = size[0] + sides["left"] + sides["right"], size[1] + sides["top"] + sides["bottom"]
    if width * height > megapixels * 1e6:
        raise ValueError(
            f"The new picture would have {width} x {height} pixels, {width * height / 1e6:.0f} megapixels;"
            f" {megapixels:g} are the most. Extend it less."
        )


def result_of(made: Made, photo: Photo, mask) -> Result:
    """A result of what was made."""
    return Result(image=made.image, photo=photo, mask=mask, command=made.command, stopped_after=made.stopped_after)
