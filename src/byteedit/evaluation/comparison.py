"""Good, Same, Bad: how often one system is better than another, by people, by PictureBench's judge or by any score.

A formula's name stands beside its figure, because they differ: the paper (ByteEdit, arXiv 2404.04860) reports one
"superiority" that is (G+S)/(S+B) for none of its published counts, and G/B for one. The win rate is that of its
ablations. Intervals resample cases and raters, since the votes on one case, or of one rater, are not independent; what
counts decided cases alone has Wilson's interval and the sign test, which take the raters as given.
"""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from byteedit.evaluation import TASKS
from byteedit.evaluation.figures import Figure, crossed, mean, rate
from byteedit.evaluation.marks import SAME
from byteedit.evaluation.scores.pixels import extra_contrast

__all__ = ["Tally", "compare", "gains", "outcome", "verdict", "win_rates", "worth"]

AXES = {
    "structure_aesthetics": ("structure", "aesthetics"),
    "coherence": ("coherence",),
    "alignment": ("right", "no_object"),
}
"""Which scores an axis is the mean of, as far as the task has them."""


# Outcomes


def outcome(apart: ArrayLike, same: float = 0.0) -> np.ndarray:
    """Good, Same or Bad as 1, 0 or -1: int, in the shape of `apart`.

    Args:
        apart: what ours is worth, less what theirs is.
        same: the least difference that decides.
    """
    apart = np.asarray(apart, dtype=float)
    return np.where(np.abs(apart) >= same, np.sign(apart), 0).astype(int)


def worth(scores: Mapping[str, Any]) -> dict[str, float]:
    """What PictureBench's judge says of an answer on each axis of `SAME`; what the task does not have is left out.

    `scores` are the judge's by name: `structure`, `aesthetics`, `coherence` in [1, 5], `right` or `no_object`.
    """
    found = {axis: [scores[name] for name in names if name in scores] for axis, names in AXES.items()}
    return {axis: float(np.mean(values)) for axis, values in found.items() if values}


def _apart(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, float]:
    """What ours is worth, less what theirs is, on each axis that both have."""
    a, b = worth(ours), worth(theirs)
    return {axis: a[axis] - b[axis] for axis in SAME if axis in a and axis in b}


def verdict(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> int:
    """1 where ours is better on more axes of `SAME` than it is worse on, -1 where on fewer, else 0."""
    return int(np.sign(sum(outcome(value, SAME[axis]) for axis, value in _apart(ours, theirs).items())))


# Figures


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Counts of votes, or of cases, that found ours better, as good, or worse.

    Raises:
        ValueError: a count is negative, or all are 0.
    """

    good: int
    same: int
    bad: int

    def __post_init__(self):
        if min(self.good, self.same, self.bad) < 0 or not self.good + self.same + self.bad:
            raise ValueError(f"{self}: counts must be 0 or more, and one of them more.")

    @property
    def superiority(self) -> float:
        """(G+S)/(S+B), the paper's formula; 1 is a draw, inf where nothing was the same or worse."""
        return _divide(self.good + self.same, self.same + self.bad)

    @property
    def good_over_bad(self) -> float:
        """G/B, which leaves out what was the same; 1 is a draw, inf where nothing was worse, nan where all was same."""
        return _divide(self.good, self.bad)

    @property
    def win_rate(self) -> float:
        """(G+S)/((G+S)+(S+B)), the paper's formula for its ablations; in [0, 1], 0.5 is a draw."""
        return (self.good + self.same) / (self.good + 2 * self.same + self.bad)

    @property
    def preferred(self) -> Figure | None:
        """G/(G+B) with Wilson's interval; None where all was the same."""
        decided = [True] * self.good + [False] * self.bad
        return rate(decided) if decided else None

    @property
    def p(self) -> float:
        """The two-sided sign test: how likely a G and B so far apart are if nobody prefers either. Exact, by scipy.

        It takes what is counted as independent. Images that the same few raters judged are not: such a p speaks of
        these raters and other images, not of other raters.
        """
        decided = self.good + self.bad
        return float(binomtest(self.good, decided).pvalue) if decided else 1.0


def _divide(over: float, under: float) -> float:
    if not under:
        return math.inf if over else math.nan
    return over / under


def compare(
    outcomes: ArrayLike, images: Sequence[Hashable] | None = None, raters: Sequence[Hashable] | None = None
) -> dict[str, Figure | int | float | None]:
    """Every figure of one comparison, from votes.

    Args:
        outcomes: (N,), of each vote 1, 0 or -1, as `outcome` has it.
        images: (N,), which image a vote is on; each has an image of its own by default.
        raters: (N,), whose vote it is; one rater's by default.

    Returns:
        `good`, `same`, `bad` of the votes; `superiority`, `good_over_bad`, `win_rate` and `net`, (G-B)/(G+S+B), with
        intervals as `crossed` makes them; and over images that have more votes for one side, `images_good`,
        `images_same`, `images_bad`, `preferred` with Wilson's interval and the sign test's `p`, both for the raters as
        given. None where there is nothing to divide by.

    Raises:
        ValueError: there is no vote.
    """
    outcomes = np.asarray(outcomes)
    good, same, bad = ((outcomes == which).astype(int) for which in (1, 0, -1))
    images = np.arange(len(outcomes)) if images is None else np.array(images)
    raters = np.zeros(len(outcomes)) if raters is None else np.array(raters)
    win_rate = crossed(good + same, good + 2 * same + bad, images, raters)
    votes, by_image = _tally(outcomes), _tally(np.bincount(np.unique(images, return_inverse=True)[1], outcomes))
    decided = outcomes != 0
    counted = good[decided], decided[decided], images[decided], raters[decided]
    return {
        "good": votes.good,
        "same": votes.same,
        "bad": votes.bad,
        "superiority": _odds(win_rate),
        "good_over_bad": _odds(crossed(*counted)) if decided.any() else None,
        "win_rate": win_rate,
        "net": crossed(outcomes, np.ones(len(outcomes)), images, raters),
        "images_good": by_image.good,
        "images_same": by_image.same,
        "images_bad": by_image.bad,
        "preferred": by_image.preferred,
        "p": by_image.p,
    }


def _tally(ahead: np.ndarray) -> Tally:
    """Counts of what is ahead, by votes above, at or below 0."""
    return Tally(good=int((ahead > 0).sum()), same=int((ahead == 0).sum()), bad=int((ahead < 0).sum()))


def _odds(share: Figure) -> Figure:
    """p/(1-p) of a share and its interval, inf at 1. It keeps order, so a bootstrap interval stays one.

    (G+S)/(S+B) are the odds of the win rate, G/B those of G/(G+B), which need no division by what may be 0.
    """
    value, low, high = (_divide(p, 1 - p) for p in (share.value, share.low, share.high))
    return Figure(value=value, low=low, high=high, n=share.n)


# By PictureBench's judge


def win_rates(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """Win rates as "TASK.AXIS", by PictureBench's judge.

    Both have the scores of the same cases in the same order, each with its `task`. What no case has is left out.
    """
    found = {}
    for task, pairs in _by_task(ours, theirs):
        apart = [_apart(a, b) for a, b in pairs]
        for axis, same in SAME.items():
            if of := [values[axis] for values in apart if axis in values]:
                found[f"{task}.{axis}"] = compare(outcome(of, same))["win_rate"]
    return found


def _by_task(ours: Sequence[Mapping], theirs: Sequence[Mapping]) -> Iterator[tuple[str, list[tuple[Mapping, Mapping]]]]:
    for task in TASKS:
        yield task, [(a, b) for a, b in zip(ours, theirs, strict=True) if a["task"] == task]


def gains(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """What ours gain, of the same as `win_rates`: means over the cases, and 0 is a draw.

    "TASK.right_gained": how many more are right, in [-1, 1]. "TASK.seam_less": by how many levels less seam they have,
    which is `extra_contrast` of `seam` beyond `seam_true`.
    """
    found = {}
    for task, pairs in _by_task(ours, theirs):
        apart = [_apart(a, b) for a, b in pairs]
        right = [values["alignment"] for values in apart if "alignment" in values]
        seams = [_seam(b) - _seam(a) for a, b in pairs if {"seam", "seam_true"} <= a.keys() & b.keys()]
        both = {"right_gained": right, "seam_less": seams}
        found |= {f"{task}.{gain}": mean(values) for gain, values in both.items() if values}
    return found


def _seam(scores: Mapping[str, Any]) -> float:
    return extra_contrast(scores["seam"], scores["seam_true"])
