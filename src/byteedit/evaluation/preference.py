"""Good, Same, Bad: how often people prefer one system to another, by every formula that is in use.

A formula's name stands beside its figure, because they differ: the paper (ByteEdit, arXiv 2404.04860) reports one
"superiority" that is (G+S)/(S+B) for none of its published counts, and G/B for one. Intervals resample images and
raters, since the votes on one image, or of one rater, are not independent; what counts decided images alone has
Wilson's interval and the sign test, which take the raters as given.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from byteedit.evaluation.figures import Figure, crossed, rate

__all__ = ["Tally", "compare"]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Counts of votes, or of images, that found ours better, as good, or worse.

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
    def net(self) -> float:
        """(G-B)/(G+S+B), in [-1, 1]; 0 is a draw."""
        return (self.good - self.bad) / (self.good + self.same + self.bad)

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
    good: Sequence[int],
    same: Sequence[int],
    bad: Sequence[int],
    images: Sequence[Hashable] | None = None,
    raters: Sequence[Hashable] | None = None,
) -> dict[str, Figure | int | float | None]:
    """Every figure of one comparison, from votes.

    Args:
        good, same, bad: (N,), the votes of each entry.
        images: (N,), which image an entry is of; each has an image of its own by default.
        raters: (N,), whose votes they are; one rater's by default.

    Returns:
        `good`, `same`, `bad` of the votes; `superiority`, `good_over_bad`, `win_rate` and `net` with intervals as
        `crossed` makes them; and over images that have more votes for one side, `images_good`, `images_same`,
        `images_bad`, `preferred` with Wilson's interval and the sign test's `p`, both for the raters as given. None
        where there is nothing to divide by.
    """
    good, same, bad = np.array(good), np.array(same), np.array(bad)
    images = np.arange(len(good)) if images is None else np.array(images)
    raters = np.zeros(len(good)) if raters is None else np.array(raters)
    votes = Tally(good=int(good.sum()), same=int(same.sum()), bad=int(bad.sum()))
    ahead = np.bincount(np.unique(images, return_inverse=True)[1], good - bad)  # of each image
    by_image = Tally(good=int((ahead > 0).sum()), same=int((ahead == 0).sum()), bad=int((ahead < 0).sum()))
    win_rate = crossed(good + same, good + 2 * same + bad, images, raters)
    decided = good + bad > 0
    counted = good[decided], (good + bad)[decided], images[decided], raters[decided]
    return {
        "good": votes.good,
        "same": votes.same,
        "bad": votes.bad,
        "superiority": _odds(win_rate),
        "good_over_bad": _odds(crossed(*counted)) if decided.any() else None,
        "win_rate": win_rate,
        "net": crossed(good - bad, good + same + bad, images, raters),
        "images_good": by_image.good,
        "images_same": by_image.same,
        "images_bad": by_image.bad,
        "preferred": by_image.preferred,
        "p": by_image.p,
    }


def _odds(share: Figure) -> Figure:
    """p/(1-p) of a share and its interval, inf at 1. It keeps order, so a bootstrap interval stays one.

    (G+S)/(S+B) are the odds of the win rate, G/B those of G/(G+B), which need no division by what may be 0.
    """
    value, low, high = (_divide(p, 1 - p) for p in (share.value, share.low, share.high))
    return Figure(value=value, low=low, high=high, n=share.n)
