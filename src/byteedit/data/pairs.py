"""Pairs of a better and a worse: made from what several candidates are worth, and looked at as rewards do.

What columns they have, and how they are read, is `preferences`'.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from PIL import Image

__all__ = ["beaten", "compared", "to_pairs"]

Row = dict[str, Any]


def compared(row: Row) -> tuple[tuple[Image.Image, str], tuple[Image.Image, str]]:
    """What a decoded row of D_aes or D_align compares, the better first: two pictures, each with its prompt."""
    if "chosen" in row:
        return (row["chosen"], row["prompt"]), (row["rejected"], row["prompt"])
    return (row["image"], row["caption_chosen"]), (row["image"], row["caption_rejected"])


def beaten(scores: Sequence[float]) -> list[tuple[int, int]]:
    """The pairs of unequal score, as (number of the better, number of the worse); higher is better."""
    ordered = ((i, j) if scores[i] > scores[j] else (j, i) for i, j in combinations(range(len(scores)), 2))
    return [(i, j) for i, j in ordered if scores[i] > scores[j]]


def to_pairs(
    row: Row, scores: Sequence[float], *, every: bool = False, tie: float = 0.0, rater: str | None = None
) -> list[Row]:
    """D_aes rows from a row of `CANDIDATES` and what its candidates are worth; none where all are worth the same.

    Args:
        row: Its images, decoded or not, are handed on as they are.
        scores: One for each candidate, higher is better; for a ranking, the negative ranks.
        every: All pairs of unequal score, instead of the best with the worst, as in the paper.
        tie: Scores that differ by less than this are equal.
        rater: Who judged.

    Raises:
        ValueError: there is not one finite score for each candidate.
    """
    candidates = row["candidates"]
    if len(scores) != len(candidates) or not all(map(math.isfinite, scores)):
        raise ValueError(f"{len(candidates)} candidates have the scores {list(scores)}; give each one finite number.")
    pairs = [(better, worse) for better, worse in beaten(scores) if scores[better] - scores[worse] >= tie]
    if not every:
        pairs = sorted(pairs, key=lambda pair: scores[pair[1]] - scores[pair[0]])[:1]
    carried = {name: row[name] for name in ("image", "mask", "task") if name in row}
    if rater is not None:
        carried["rater"] = rater
    return [
        {"prompt": row["prompt"], "chosen": candidates[better], "rejected": candidates[worse], **carried}
        for better, worse in pairs
    ]
