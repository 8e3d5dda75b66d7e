"""Two systems on the same cases: how often one wins, by marks of PictureBench's judge or by any number that both have.

A pair of answers is Good, Same or Bad for the first system; the win rate is the paper's for its ablations,
(G + S) / ((G + S) + (S + B)), with a bootstrap interval over cases. What people say of pairs is read in `human`.
Source: ByteEdit (arXiv 2404.04860), its ablations.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from byteedit.evaluation import TASKS
from byteedit.evaluation.figures import Figure, mean, ratio
from byteedit.evaluation.marks import SAME

__all__ = ["verdict", "win_rate", "win_rates", "worth"]

AXES = {
    "structure_aesthetics": ("structure", "aesthetics"),
    "coherence": ("coherence",),
    "alignment": ("right", "no_object"),
}
"""Which scores an axis is the mean of, as far as the task has them."""


def worth(scores: Mapping[str, Any]) -> dict[str, float]:
    """What PictureBench's judge says of an answer on each axis of `SAME`; what the task does not have is left out.

    `scores` are the judge's by name: `structure`, `aesthetics`, `coherence` in [1, 5], `right` or `no_object`.
    """
    found = {axis: [scores[name] for name in names if name in scores] for axis, names in AXES.items()}
    return {axis: float(np.mean(values)) for axis, values in found.items() if values}


def win_rate(apart: Iterable[float], same: float = 0.0) -> Figure:
    """How often ours wins, in [0, 1]; half is a draw.

    Args:
        apart: for each case what ours is worth, less what theirs is.
        same: the least difference that decides.

    Raises:
        ValueError: there is no case.
    """
    apart = np.array(list(apart), dtype=float)
    good, bad = (apart >= same) & (apart > 0), (apart <= -same) & (apart < 0)
    return ratio(1.0 - bad, 2.0 - good - bad)


def win_rates(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """Win rates as "TASK.AXIS", and as "TASK.right_gained" how many more of ours are right, by PictureBench's judge.

    Both have the scores of the same cases in the same order, each with its `task`. What no case has is left out.
    """
    found = {}
    for task in TASKS:
        pairs = [(worth(a), worth(b)) for a, b in zip(ours, theirs, strict=True) if a["task"] == task]
        apart = {axis: [a[axis] - b[axis] for a, b in pairs if axis in a and axis in b] for axis in SAME}
        found |= {f"{task}.{axis}": win_rate(of, SAME[axis]) for axis, of in apart.items() if of}
        if apart["alignment"]:
            found[f"{task}.right_gained"] = mean(apart["alignment"])
    return found


def verdict(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> int:
    """1 where ours is better on more axes of `SAME` than it is worse on, -1 where on fewer, else 0."""
    a, b = worth(ours), worth(theirs)
    apart = {axis: a[axis] - b[axis] for axis in SAME if axis in a and axis in b}
    return int(np.sign(sum(np.sign(value) for axis, value in apart.items() if abs(value) >= SAME[axis])))
