"""Outpainting: how far each side goes, in which windows a large extension is done, and the rounds that do it.

The pictures are extended by mirroring, and every round replaces some of that by an ordinary edit of one window.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat

import numpy as np
import PIL.Image
from diffusers.pipelines.stable_diffusion import StableDiffusionPipelineOutput

from byteedit.image import Picture, Window, from_values, to_pil, unit
from byteedit.pipeline.canvas import to_output
from byteedit.pipeline.checks import check_output
from byteedit.pipeline.words import Words
from byteedit.reading import picture_from_pil, read_pictures

Sides = tuple[int, int, int, int]  # left, right, top, bottom, in pixels
ANCHORS = {"center": (0.5, 0.5), "left": (0, 0.5), "right": (1, 0.5), "top": (0.5, 0), "bottom": (0.5, 1)}
OWN_AFFAIRS = ("mask_image", "height", "width", "latents", "masked_image_latents", "padding_mask_crop", "composite")
ANCHORS |= {f"{v} {h}": (ANCHORS[h][0], ANCHORS[v][1]) for v in ("top", "bottom") for h in ("left", "right")}


def outpaint(pipe, image, sides: Sides, target, aspect_ratio, anchor: str, prompt, **kwargs):
    """Extend pictures of one size, in as many rounds as it takes; see `ByteEditInpaintPipeline.outpaint`."""
    if refused := [name for name in OWN_AFFAIRS if name in kwargs]:
        raise ValueError(
            f"outpaint decides on {', '.join(refused)} itself; leave it out, or call the pipeline with a mask."
        )
    output_type = check_output(kwargs.pop("output_type", "pil"))
    if output_type == "latent":
        raise ValueError(
            "outpaint has no latents of the whole picture to give; ask for output_type 'pil', 'np' or 'pt'."
        )
    return_dict, each = kwargs.pop("return_dict", True), kwargs.pop("num_images_per_prompt", 1)
    given = read_pictures(image)
    pictures = [as_pil(picture) for picture in given]
    if len({picture.size for picture in pictures}) > 1:
        raise ValueError("The pictures have several sizes; outpaint them one by one.")
    sides = sides_of(pictures[0].size, sides, target, aspect_ratio, anchor)
    words = Words(
        prompt, *(kwargs.pop(name, None) for name in ("negative_prompt", "prompt_embeds", "negative_prompt_embeds"))
    )
    words = words.spread(max(len(words), len(pictures)))
    pictures, given = (rows * (len(words) // len(pictures)) for rows in (pictures, given))
    kwargs |= words.repeat(each).arguments()
    canvases = [extend(picture, sides) for picture in pictures for _ in range(each)]
    unsafe = fill(pipe, canvases, pictures[0].size, sides, kwargs)
    if output_type != "pil":
        known = [picture for picture in given for _ in range(each)]
        floats = list(map(unrounded, canvases, known, repeat(sides)))
        canvases = to_output(floats, output_type, pipe._execution_device)
    return StableDiffusionPipelineOutput(canvases, unsafe) if return_dict else (canvases, unsafe)


def unrounded(canvas: PIL.Image.Image, picture: Picture, sides: Sides) -> np.ndarray:
    """A filled canvas as floats (H, W, 3) in [0, 1], with the very values that the picture came with."""
    pixels, (left, _, top, _) = unit(picture_from_pil(canvas).pixels), sides
    pixels[top : top + picture.size[1], left : left + picture.size[0]] = unit(picture.pixels)
    return pixels


def fill(pipe, canvases: list[PIL.Image.Image], size: tuple[int, int], sides: Sides, kwargs: dict) -> list[bool] | None:
    """Generate what lies around the pictures, window by window, on the canvases themselves; say which are unsafe."""
    unsafe, native = None, pipe.native_size()
    total = sum(1 for _ in rounds(size, sides, max(*native, min(size))))
    for number, (view, unknown) in enumerate(views(size, sides, native), 1):
        box = (view.left, view.top, view.left + view.width, view.top + view.height)
        mask = PIL.Image.fromarray(unknown)
        with described(pipe, f"window {number} of {total}" if total > 1 else ""):
            result = pipe(image=[canvas.crop(box) for canvas in canvases], mask_image=mask, **kwargs)
        for canvas, part in zip(canvases, result.images, strict=True):
            canvas.paste(part, box)
        found = result.nsfw_content_detected
        unsafe = found if unsafe is None else [a or b for a, b in zip(unsafe, found, strict=True)]
        if pipe.interrupt:  # a callback asked to stop: what is not filled yet stays mirrored
            break
    return unsafe


@contextmanager
def described(pipe, words: str) -> Iterator[None]:
    """Words at the end of what the pipeline's progress bar says."""
    config = vars(pipe).get("_progress_bar_config", {})  # diffusers sets it where it is asked for
    pipe.set_progress_bar_config(**config | {"desc": ", ".join(filter(None, [config.get("desc"), words]))})
    try:
        yield
    finally:
        pipe.set_progress_bar_config(**config)


def views(size: tuple[int, int], sides: Sides, native: tuple[int, int]) -> Iterator[tuple[Window, np.ndarray]]:
    """Each round's window on the canvas, and what is still to be generated in it: (h, w) uint8, 255 = generate."""
    left, right, top, bottom = sides
    unknown = np.full((size[1] + top + bottom, size[0] + left + right), 255, np.uint8)
    unknown[top : top + size[1], left : left + size[0]] = 0
    for view in rounds(size, sides, max(*native, min(size))):
        place = view.inside(unknown.shape[::-1])
        yield view, unknown[place].copy()
        unknown[place] = 0


def as_pil(picture: Picture) -> PIL.Image.Image:
    """The picture as a PIL image of its own mode."""
    return picture.source or to_pil(picture.pixels, picture, np.ones(picture.size[::-1]))


def sides_of(size: tuple[int, int], sides: Sides, target, aspect_ratio, anchor: str) -> Sides:
    """Pixels to add at each side, from just one of: the sides themselves, a target (width, height), an aspect ratio.

    `aspect_ratio` is "16:9" or 16 / 9; `anchor` says where the picture stays ("center", "left", "top right", ...).
    """
    asked = [any(sides), target is not None, aspect_ratio is not None]
    if sum(asked) != 1:
        raise ValueError(
            "Say how far to extend in one way: left/right/top/bottom, or size=(w, h), or aspect_ratio='16:9'."
        )
    if asked[0]:
        return checked_sides(sides)
    if anchor not in ANCHORS:
        raise ValueError(f"anchor is {anchor!r}; choose one of {', '.join(ANCHORS)}.")
    if target is not None and not (isinstance(target, tuple | list) and len(target) == 2):
        raise ValueError(f"size is {target!r}; give (width, height) in pixels.")
    width, height = target or fit_aspect(size, aspect_ratio)
    if width < size[0] or height < size[1]:
        raise ValueError(f"size is {width} x {height}, smaller than the picture, {size[0]} x {size[1]}; crop it first.")
    left, top = (
        round((new - old) * share) for new, old, share in zip((width, height), size, ANCHORS[anchor], strict=True)
    )
    return checked_sides((left, width - size[0] - left, top, height - size[1] - top))


def checked_sides(sides: Sides) -> Sides:
    """The sides, if they are whole numbers of pixels, none negative and one positive."""
    if not all(isinstance(side, (int, np.integer)) and side >= 0 for side in sides):
        raise ValueError(f"left, right, top, bottom are {sides}; give whole numbers of pixels, none negative.")
    if not any(sides):
        raise ValueError("The picture has that size already, so there is nothing to extend; ask for a larger one.")
    return sides


def fit_aspect(size: tuple[int, int], aspect_ratio: str | float) -> tuple[int, int]:
    """The smallest (width, height) of an aspect ratio that holds the picture."""
    try:
        parts = [float(part) for part in str(aspect_ratio).split(":")]
        ratio = parts[0] / parts[1] if len(parts) == 2 else float(aspect_ratio)
    except (ValueError, ZeroDivisionError):
        ratio = 0.0
    if not 0 < ratio < float("inf"):
        raise ValueError(f"aspect_ratio is {aspect_ratio!r}; give width:height like '16:9', or a positive number.")
    width, height = size
    return max(round(height * ratio), width), max(round(width / ratio), height)


def extend(image: PIL.Image.Image, sides: Sides) -> PIL.Image.Image:
    """The picture on its larger canvas, mirrored into the new area, in its own mode."""
    left, right, top, bottom = sides
    values = np.asarray(image)
    padding = [(top, bottom), (left, right)] + [(0, 0)] * (values.ndim - 2)
    return from_values(np.pad(values, padding, mode="symmetric"), image.mode)


def rounds(size: tuple[int, int], sides: Sides, view: int) -> Iterator[Window]:
    """Windows on the canvas, in the order in which to fill them.

    One for everything, if it fits in `view` and the picture is at least a third of it. Else side after side, in strips
    as wide as half of `view` and no wider than what is known, each from end to end: half of a window is known then.
    """
    left, right, top, bottom = sides
    known = [left, top, left + size[0], top + size[1]]
    canvas = (left + size[0] + right, top + size[1] + bottom)
    if max(canvas) <= view and 3 * size[0] * size[1] >= canvas[0] * canvas[1]:
        yield Window(0, 0, *canvas)
        return
    for side, end in ((0, 0), (2, canvas[0]), (1, 0), (3, canvas[1])):
        axis = side % 2
        while known[side] != end:
            reach = min(abs(end - known[side]), view // 2, known[axis + 2] - known[axis])
            known[side] += reach if side > 1 else -reach
            yield from strip(known, side, view)


def strip(known: list[int], side: int, view: int) -> Iterator[Window]:
    """Windows along one side of the box left, top, right, bottom, one next to the other and half over it."""
    axis = side % 2
    low, high = known[axis], known[axis + 2]
    low, high = (max(low, high - view), high) if side > 1 else (low, min(high, low + view))
    first, last = known[1 - axis], known[3 - axis]
    starts = [*range(first, last - view, max(view // 2, 1)), max(first, last - view)]
    for begin in starts:
        along = min(view, last - first)
        yield Window(low, begin, high - low, along) if axis == 0 else Window(begin, low, along, high - low)
