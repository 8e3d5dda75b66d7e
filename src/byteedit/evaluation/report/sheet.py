"""Contact sheets: a benchmark's cases with a system's answers, for a person to look at. numpy and PIL only."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from byteedit.evaluation.picturebench import Case

__all__ = ["TINT", "contact_sheet"]

TINT = np.array((255, 0, 170))
LABEL = 15  # pixels under each pair of a contact sheet


def contact_sheet(cases: Sequence[Case], images: Sequence[np.ndarray], columns: int = 4) -> Image.Image:
    """Inputs with the mask tinted, each beside its output, with the prompt below."""
    tiles = [_tile(case, image) for case, image in zip(cases, images, strict=True)]
    width, height = tiles[0].size
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (width + 8) - 8, rows * height), "white")
    for n, tile in enumerate(tiles):
        sheet.paste(tile, (n % columns * (width + 8), n // columns * height))
    return sheet


def _tile(case: Case, image: np.ndarray) -> Image.Image:
    height, width = case.mask.shape
    left, top, right, bottom = case.box
    page = np.full((height, width, 3), 255.0)
    page[top:bottom, left:right] = case.image
    tint = 0.5 * (case.mask[..., None] > 127)
    shown = (page + tint * (TINT - page)).astype(np.uint8)
    tile = Image.new("RGB", (2 * width + 2, height + LABEL), "white")
    tile.paste(Image.fromarray(shown), (0, 0))
    tile.paste(Image.fromarray(image), (width + 2, 0))
    label = case.prompt or ("erase" if case.task == "erasing" else "no prompt")
    ImageDraw.Draw(tile).text((2, height), label, fill="black", font=ImageFont.load_default(11))
    return tile
