"""From scores of single cases to figures with 95 % intervals.

Rates get Wilson's interval, means and ratios the percentile bootstrap over cases with a fixed seed, so that the same
scores always give the same figures. numpy only.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

__all__ = ["Figure", "mean", "plain", "rate", "ratio"]

RESAMPLES = 2000
Z = 1.959964  # the normal distribution's 97.5 % quantile


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured value with its 95 % interval, from `n` cases; `low` and `high` are NaN where there is none."""

    value: float
    low: float
    high: float
    n: int


def rate(hits: Iterable[bool]) -> Figure:
    """How often something happened, with Wilson's score interval. Raises `ValueError` without any case."""
    hits = _checked(hits)
    n, p, z = len(hits), float(hits.mean()), Z
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return Figure(value=p, low=float(np.clip(centre - half, 0, p)), high=float(np.clip(centre + half, p, 1)), n=n)


def mean(values: Iterable[float]) -> Figure:
    """The mean, with a bootstrap interval. Raises `ValueError` without any case."""
    values = _checked(values)
    return ratio(values, np.ones(len(values)))


def ratio(numerators: Iterable[float], denominators: Iterable[float]) -> Figure:
    """The ratio of two sums over the same cases, with a bootstrap interval. Raises `ValueError` without any case."""
    over, under = _checked(numerators), _checked(denominators)
    drawn = np.random.default_rng(0).integers(len(over), size=(RESAMPLES, len(over)))
    with np.errstate(divide="ignore", invalid="ignore"):
        value, resampled = over.sum() / under.sum(), over[drawn].sum(1) / under[drawn].sum(1)
    known = resampled[~np.isnan(resampled)] if not np.isnan(value) else np.array([value])
    between = "linear" if np.isfinite(resampled).all() else "nearest"  # nothing lies between infinities
    low, high = np.quantile(known, [0.025, 0.975], method=between)
    return Figure(value=float(value), low=float(min(low, value)), high=float(max(high, value)), n=len(over))


def _checked(values: Iterable[float]) -> np.ndarray:
    array = np.array(list(values), dtype=float)
    if not len(array):
        raise ValueError("no case was scored; score at least one before asking for a figure.")
    return array


def plain(value: Any) -> Any:
    """The same as JSON has it: figures as dictionaries, and None for what JSON has no number for."""
    if isinstance(value, Figure):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
