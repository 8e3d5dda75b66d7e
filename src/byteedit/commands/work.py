"""What edit, erase and outpaint do around their one pipeline call.

Files are checked before the model is loaded; every variation is a call of its own with its own seed, so that any one
can be made again alone; what is written is compared with the input first, pixel by pixel, as it will be read.
"""

import io
import re
import secrets
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import torch

from byteedit.commands.command import UsageError
from byteedit.commands.opening import add_loras, default_device, default_loras, open_pipeline
from byteedit.commands.pictures import Edit, MaskedCommand, Outpaint, PictureCommand
from byteedit.commands.records import REPLAY_OPTIONS, describe, restore, what_changed
from byteedit.files import FORMATS, make_writable, reading_picture, write_atomically
from byteedit.provenance import encode_png, read_record
from byteedit.reading import ORIENTATION, read_exif, read_masks, read_pictures, upright

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""Endings of what is a picture's name and no folder's."""

DEEP = re.compile(";16[BLN]")  # of what PIL says of a file's tiles: 16 bits a channel


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture to be made."""

    image: Path
    mask: Path | None
    seed: int
    output: Path


# The two ways to make pictures


def make(command: PictureCommand) -> None:
    """Make all pictures that a command asks for, and say where they are."""
    command = settle(command)
    jobs = plan(command)
    began = time.perf_counter()
    pipe = load(command)
    verified, count = 0, len(jobs)
    for number, job in enumerate(jobs, 1):
        verified += do(command, pipe, job, f" ({number} of {count})" if count > 1 else "")
    where = str(jobs[0].output) if count == 1 else f"{count} pictures in {jobs[0].output.parent}"
    report(where, began, verified, f"seed {jobs[0].seed}")


def replay(command: PictureCommand) -> None:
    """Make a picture again from its record, and say whether it came out the same."""
    earlier = command.replay
    unset = dict.fromkeys(REPLAY_OPTIONS)
    if replace(command, **unset) != type(command)(**unset):
        raise UsageError(
            "--replay takes everything from the PNG's record; only --output, --device and --debug go with it."
        )
    record = read_record(earlier)
    first = np.asarray(PIL.Image.open(earlier, formats=FORMATS))  # before --output may replace it
    again = restore(record, earlier)
    output = command.output or earlier.with_name(f"{earlier.stem}-replay.png")
    began = time.perf_counter()
    again = replace(again, output=output, device=command.device)
    [job] = plan(again)
    verified = do(again, load(again), job)
    same = np.array_equal(first, np.asarray(PIL.Image.open(job.output, formats=FORMATS)))
    report(str(job.output), began, verified, f"identical to {earlier}" if same else f"NOT identical to {earlier}")
    if not same:
        print(f"byteedit: {what_changed(record)}", file=sys.stderr)


def report(where: str, began: float, verified: int, rest: str) -> None:
    """The last line."""
    seconds = time.perf_counter() - began
    print(f"{where}: {seconds:.1f} s, {verified:,} unmasked pixels verified unchanged, {rest}")


# Before


def settle(command: PictureCommand) -> PictureCommand:
    """The command with the LoRAs that it comes to, as it is recorded: after this, none means none."""
    if command.lora == ("none",):
        return replace(command, lora=())
    if command.lora:
        return command
    return replace(command, lora=default_loras(command.model, isinstance(command, Outpaint)))


def plan(command: PictureCommand) -> list[Job]:
    """The pictures to be made, every file read once, so that no model is loaded in vain.

    Raises:
        ValueError: a file is missing, or no picture, or would be overwritten; a mask has another size than its picture;
            a picture cannot be extended so; a mask is empty; nothing can be written where results should go.
    """
    masks = masks_of(command) or (None,)
    if command.seed is not None and not 0 <= command.seed < 2**63:
        raise UsageError(f"--seed is {command.seed}; give a whole number from 0 to 2^63 - 1.")
    check_files((*command.images, *filter(None, masks)))
    seed = secrets.randbits(32) if command.seed is None else command.seed
    outputs = name_outputs(command)
    jobs = [
        Job(image=image, mask=masks[i % len(masks)], seed=seed + k, output=outputs[i * command.num_images + k])
        for i, image in enumerate(command.images)
        for k in range(command.num_images)
    ]
    for job in jobs[:: command.num_images]:
        image, mask, _ = read(command, job)
        try:
            command.corner(image.size)
        except ValueError as error:
            raise ValueError(f"{job.image}: {error}") from error
        if mask is not None and upright(mask).size != image.size:
            sizes = "{} x {} pixels, {} {} x {}".format(*upright(mask).size, job.image, *image.size)
            raise ValueError(f"{job.mask} is {sizes}; make the mask the same size as its picture.")
        if mask is not None and not read_masks(mask)[0].any():
            if job.mask is None:
                raise ValueError(f"{job.image} is opaque everywhere, so nothing is to be generated; give --mask FILE.")
            raise ValueError(f"{job.mask} is all black, so nothing is to be generated; paint white what should change.")
    for folder in {job.output.parent for job in jobs}:
        make_writable(folder)
    return jobs


def check_files(paths: Iterable[Path]) -> None:
    """Raise ValueError where a picture that was named is missing, or a folder."""
    for path in paths:
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name its pictures, such as {path}/*.jpg.")
        if not path.is_file():
            raise ValueError(f"there is no file {path}.")


def masks_of(command: PictureCommand) -> tuple[Path, ...]:
    """The mask files that a command names."""
    return command.mask if isinstance(command, MaskedCommand) else ()


def name_outputs(command: PictureCommand) -> list[Path]:
    """Where each result goes: `--output` itself, or STEM.png in it when it is a folder; -1, -2 ... for variations."""
    ending = command.output.suffix.lower()
    folder = command.output.is_dir() or not ending or len(command.images) > 1
    if not folder and ending != ".png":
        raise UsageError(f"--output is {command.output}; byteedit writes PNG, which keeps every pixel: name it .png.")
    if folder and not command.output.is_dir() and (command.output.is_file() or ending in PICTURES):
        raise UsageError(f"several pictures need a folder; --output is {command.output}.")
    firsts = [command.output / f"{image.stem}.png" if folder else command.output for image in command.images]
    if len(set(firsts)) < len(firsts):
        [(twice, _)] = Counter(firsts).most_common(1)
        same = [str(image) for image, first in zip(command.images, firsts, strict=True) if first == twice]
        raise UsageError(
            f"two pictures have the same name, {same[0]} and {same[1]}, and would overwrite each other; edit them in "
            "two commands."
        )
    several = range(1, command.num_images + 1)
    outputs = [
        path.with_stem(f"{path.stem}-{k}") if command.num_images > 1 else path for path in firsts for k in several
    ]
    sources = {path.resolve() for path in (*command.images, *masks_of(command))}
    if overwritten := [path for path in outputs if path.resolve() in sources]:
        raise UsageError(f"--output would overwrite the input {overwritten[0]}; choose another name.")
    return outputs


def load(command: PictureCommand):
    """The pipeline that a command asks for, with its LoRAs, on its device."""
    pipe = open_pipeline(command.model, getattr(torch, command.dtype))
    add_loras(pipe, command.lora)
    guidance = pipe.schedule.guidance_scale if command.guidance_scale is None else command.guidance_scale
    if isinstance(command, Edit | Outpaint) and command.negative_prompt and guidance <= 1:
        said = "--negative-prompt does nothing, since there is no guidance; add --guidance-scale 3."
        print(f"byteedit: {said}", file=sys.stderr)
    return pipe.to(command.device or default_device())


# One picture


def do(command: PictureCommand, pipe, job: Job, place: str = "") -> int:
    """Make, check and write one picture; returns how many unmasked pixels were verified unchanged.

    place: which of how many it is, for the progress bar.
    """
    pipe.set_progress_bar_config(desc=f"{job.output.name}{place}", leave=False)
    image, mask, tags = read(command, job)
    result = command.call(pipe, image, mask, torch.Generator().manual_seed(job.seed))
    content = encode_png(result, describe(command, job.image, job.mask, job.seed), **tags)
    verified = verify(image, mask, content, command.corner(image.size))
    write_atomically(job.output, content)
    return verified


def read(command: PictureCommand, job: Job) -> tuple[PIL.Image.Image, PIL.Image.Image | None, dict[str, bytes]]:
    """The upright picture, its mask, and its colour profile and EXIF data."""
    try:
        image, tags = as_edited(open_picture(job.image))
    except ValueError as error:
        raise ValueError(f"{job.image}: {error}" if str(job.image) not in str(error) else str(error)) from error
    if isinstance(command, MaskedCommand) and command.mask_from_alpha:
        image, transparent = split_alpha(image, job.image)
        return image, open_picture(job.mask) if job.mask else transparent, tags  # the editor's records have both
    return image, job.mask and open_picture(job.mask), tags


def as_edited(image: PIL.Image.Image) -> tuple[PIL.Image.Image, dict[str, bytes]]:
    """A picture as it is edited, upright, and what `encode_png` keeps of its file: colour profile and EXIF data.

    Its mode is the one that the pipeline returns; what PNG cannot hold (CMYK) becomes RGB.
    """
    tags = {"icc_profile": image.info["icc_profile"]} if image.info.get("icc_profile") else {}
    if image.mode == "CMYK":
        image, tags = image.convert("RGB"), {}
    picture, exif = read_pictures(image)[0].source, read_exif(image)
    exif.pop(ORIENTATION, None)  # it has been followed
    return picture, tags | ({"exif": exif_bytes(exif)} if exif else {})


def exif_bytes(exif: PIL.Image.Exif) -> bytes:
    """EXIF data as a file holds them; of what cannot be written again, such as a number kept as text, nothing."""
    try:
        return exif.tobytes()
    except Exception:  # PIL raises of whatever kind
        warnings.warn("The picture's EXIF data are broken; they are left out.", stacklevel=2)
        return b""


def open_picture(path: Path) -> PIL.Image.Image:
    """A picture file of one of `FORMATS`, read to its end. Raises ValueError where it is none, or broken."""
    with reading_picture(path):
        image = PIL.Image.open(path, formats=FORMATS)
        if not image.mode.startswith("I") and any(DEEP.search(str(tile)) for tile in getattr(image, "tile", ())):
            warnings.warn(f"{path} has colours or alpha of 16 bits, of which the upper 8 are kept.", stacklevel=2)
        image.load()
    return image


def split_alpha(image: PIL.Image.Image, path: Path) -> tuple[PIL.Image.Image, PIL.Image.Image]:
    """The picture without its alpha, and the mask that generates where it was transparent."""
    if image.mode not in ("RGBA", "LA"):
        raise ValueError(f"{path} has no alpha channel (its mode is {image.mode}); give --mask FILE.")
    return image.convert(image.mode[:-1]), PIL.ImageOps.invert(image.getchannel("A"))


def verify(image: PIL.Image.Image, mask: PIL.Image.Image | None, content: bytes, corner: tuple[int, int]) -> int:
    """How many pixels of the PNG `content` the mask left alone, after making sure that they are the input's own.

    Raises:
        RuntimeError: one of them changed.
    """
    left, top = corner
    after = PIL.Image.open(io.BytesIO(content)).crop((left, top, left + image.width, top + image.height))
    kept = np.full((image.height, image.width), True) if mask is None else read_masks(mask)[0] == 0
    same = np.asarray(image) == np.asarray(after)
    same = same if same.ndim == 2 else same.all(axis=-1)
    if image.mode != after.mode or not same[kept].all():
        raise RuntimeError(
            f"{int((kept & ~same).sum())} unmasked pixels changed, so nothing was written; please report this."
        )
    return int(kept.sum())
