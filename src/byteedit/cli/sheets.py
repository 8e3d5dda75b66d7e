"""The sheets of `byteedit demo`: cases of PictureBench painted by a pipeline, laid out before and after.

Pictures are (H, W, 3) uint8; a page is PictureBench's square, which an outpainting's input does not fill.
"""

import io

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from byteedit.evaluation.picturebench import Case

TINT = (235, 64, 120)  # how a mask is shown


def paint_all(pipe, cases: list[Case], title: str) -> list[np.ndarray]:
    """The result of every case, (PAGE, PAGE, 3) uint8, under one progress bar."""
    pipe.set_progress_bar_config(disable=True)
    return [np.asarray(paint(pipe, case)) for case in tqdm(cases, desc=title, leave=False)]


def paint(pipe, case: Case) -> Image.Image:
    """The pipeline's answer to one case of PictureBench."""
    image, mask = Image.fromarray(case.image), Image.fromarray(case.mask)
    generator = torch.Generator().manual_seed(case.seed)
    if case.task == "editing":
        return pipe(case.prompt, image=image, mask_image=mask, generator=generator).images[0]
    if case.task == "erasing":
        return pipe.erase(image, mask, generator=generator).images[0]
    return pipe.outpaint(image, **case.extension, prompt=case.prompt, generator=generator).images[0]


def erasing_psnr(cases: list[Case], results: list[np.ndarray]) -> float:
    """Mean over cases of the PSNR inside the mask against the true background, in dB."""
    errors = [
        np.square((result.astype(float) - case.picture)[case.mask > 0]).mean()
        for case, result in zip(cases, results, strict=True)
    ]
    return float(np.mean(10 * np.log10(255**2 / np.maximum(errors, 1e-9))))


def sheet(cases: list[Case], results: list[np.ndarray], scale: int = 2, gap: int = 12, line: int = 22) -> Image.Image:
    """Columns of cases: what came in, where to generate, what came out; under each its prompt."""
    columns = [show(case, result) for case, result in zip(cases, results, strict=True)]
    side = cases[0].mask.shape[0] * scale
    canvas = Image.new("RGB", (gap + len(cases) * (side + gap), gap + len(columns[0]) * (side + gap) + line), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(line * 2 // 3)
    for x, (case, column) in zip(range(gap, canvas.width, side + gap), zip(cases, columns, strict=True), strict=True):
        for row, pixels in enumerate(column):
            picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
            canvas.paste(picture, (x, gap + row * (side + gap)))
        words = case.prompt or ("erase" if case.task == "erasing" else "no prompt")
        draw.text((x + side // 2, canvas.height - gap), words, "black", font, anchor="ms")
    return canvas


def show(case: Case, result: np.ndarray) -> list[np.ndarray]:
    """A sheet's column from top to bottom; when outpainting, the white around the input is its mask."""
    return [before(case), result] if case.task == "outpainting" else [before(case), tinted(case), result]


def before(case: Case) -> np.ndarray:
    """The input in its place on the page: (PAGE, PAGE, 3) uint8, white around it when outpainting."""
    page = np.full((*case.mask.shape, 3), 255, np.uint8)
    left, top, right, bottom = case.box
    page[top:bottom, left:right] = case.image
    return page


def tinted(case: Case) -> np.ndarray:
    """The input with the mask laid over it in one colour: (PAGE, PAGE, 3) uint8."""
    weight = (case.mask > 0)[..., None] * 0.6
    return (before(case) * (1 - weight) + np.array(TINT) * weight).round().astype(np.uint8)


def as_png(image: Image.Image) -> bytes:
    """The bytes of a PNG of a picture."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
