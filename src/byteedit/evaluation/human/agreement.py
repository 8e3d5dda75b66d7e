"""Do raters agree, and do they use the scale alike: ordinal Krippendorff alpha, and marks as z-scores of each rater.

Source of alpha: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section D, for any number of raters
and missing values, with the ordinal metric. numpy only.
"""

from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["ordinal_alpha", "z_scores"]


def ordinal_alpha(units: Iterable[Sequence[float]]) -> float | None:
    """1 - observed / expected disagreement: 1 is perfect agreement, 0 what chance gives, below 0 is worse than that.

    Args:
        units: For each thing that was judged the values that raters gave it; a thing with one value tells nothing.

    Returns:
        None where no thing has two values, or all values are the same, so that there is nothing to agree about.
    """
    pairable = [list(values) for values in units if len(values) > 1]
    scale = np.unique([value for values in pairable for value in values])  # (V,)
    if len(scale) < 2:
        return None
    counts = np.array([[values.count(value) for value in scale] for values in pairable])  # (U, V)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(len(scale))  # (U, V, V)
    observed = (pairs / (counts.sum(1) - 1)[:, None, None]).sum(0)  # the coincidence matrix, (V, V)
    totals = observed.sum(1)  # (V,)
    expected = (np.outer(totals, totals) - np.diag(totals)) / (totals.sum() - 1)
    distance = _ordinal_distance(totals)
    return float(1 - (observed * distance).sum() / (expected * distance).sum())


def _ordinal_distance(totals: np.ndarray) -> np.ndarray:
    """Squared distances of ranks, (V, V): the values that lie from one to the other, both ends counted half."""
    middle = np.cumsum(totals) - totals / 2
    return (middle[:, None] - middle[None, :]) ** 2


def z_scores(values: Sequence[float], raters: Sequence[str]) -> np.ndarray:  # (N,)
    """Each value less its rater's mean, over its rater's standard deviation; 0 where a rater gives one value only."""
    values, raters = np.array(values, dtype=float), np.array(raters)
    scores = np.zeros(len(values))
    for rater in np.unique(raters):
        own = raters == rater
        if values[own].std():
            scores[own] = (values[own] - values[own].mean()) / values[own].std()
    return scores
