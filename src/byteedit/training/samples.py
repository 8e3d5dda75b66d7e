"""Pictures of what a reward has learnt, for its model card: the highest and lowest scores, or maps of what is real."""

from itertools import islice

import numpy as np
from datasets import Dataset
from PIL import Image

from byteedit.data.preferences import AESTHETIC, ALIGNMENT, COHERENCE, Skipped, examples
from byteedit.rewards import CoherenceReward, PreferenceReward

__all__ = ["samples", "strip"]


def samples(model: PreferenceReward | CoherenceReward, rows: Dataset, reward: str, count: int = 4) -> dict:
    """Strips of pictures by what they show, from the first rows of `reward`'s data."""
    return coherence(model, rows, count) if reward == "coherence" else preference(model, rows, reward, count)


def preference(model: PreferenceReward, rows: Dataset, reward: str, count: int, pool: int = 32) -> dict:
    """The `count` pictures with the highest and with the lowest scores among `pool` rows."""
    if reward == "aesthetic":
        some = islice(examples(rows, AESTHETIC, Skipped()), pool)
        pairs = [(row[name], row["prompt"]) for row in some for name in ("chosen", "rejected")]
    else:
        some = islice(examples(rows, ALIGNMENT, Skipped()), pool)
        pairs = [(row["image"], row[name]) for row in some for name in ("caption_chosen", "caption_rejected")]
    scores = model.score(*zip(*pairs, strict=True))
    ranked = [pairs[n] for n in np.argsort(scores)[::-1]]
    return {
        f"{title} scores: {'; '.join(prompt or 'no prompt' for _, prompt in part)}": strip([image for image, _ in part])
        for title, part in (("Highest", ranked[:count]), ("Lowest", ranked[-count:]))
    }


def coherence(model: CoherenceReward, rows: Dataset, count: int) -> dict:
    """Pictures with their true mask (white = generated) and their map (white = taken for generated)."""
    some = list(islice(examples(rows, COHERENCE, Skipped()), count))
    maps = model.map([row["image"] for row in some])
    generated = [Image.fromarray((255 * (1 - real)).astype(np.uint8)) for real in maps]
    strips = [strip([row["image"], row["mask"], seen]) for row, seen in zip(some, generated, strict=True)]
    return {f"Picture {n}, what is generated, and what is taken for it": one for n, one in enumerate(strips, 1)}


def strip(pictures: list[Image.Image], height: int = 128, gap: int = 4) -> Image.Image:
    """Pictures side by side, each `height` pixels high."""
    tiles = [picture.convert("RGB").resize((picture.width * height // picture.height, height)) for picture in pictures]
    canvas = Image.new("RGB", (sum(tile.width + gap for tile in tiles) - gap, height), "white")
    left = 0
    for tile in tiles:
        canvas.paste(tile, (left, 0))
        left += tile.width + gap
    return canvas
