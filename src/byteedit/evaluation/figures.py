"""From scores of single cases to figures with 95 % intervals.

Rates get Wilson's interval, means and ratios the percentile bootstrap over cases, and of what people said over raters,
too, with a fixed seed, so that the same scores always give the same figures. numpy only.
"""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

__all__ = ["Figure", "crossed", "mean", "plain", "rate", "ratio"]

RESAMPLES = 2000
BLOCK = 250_000  # votes of resamples that are weighed at once, which bounds the memory
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
    return _bootstrapped(over, under, over[drawn].sum(1), under[drawn].sum(1), len(over))


def crossed(
    numerators: Iterable[float], denominators: Iterable[float], cases: Sequence[Hashable], raters: Sequence[Hashable]
) -> Figure:
    """The ratio of two sums over votes, with a bootstrap interval that resamples cases and raters independently.

    A vote weighs as often as its case is drawn times as often as its rater is. One rater is in every resample, so that
    cases alone are resampled. Source: Owen, "The pigeonhole bootstrap" (doi 10.1214/07-AOAS122).

    Args:
        numerators, denominators: (V,), of each vote.
        cases: (V,), what each vote is of; the figure's `n` counts them once.
        raters: (V,), whose each vote is; or (V, K) for what K raters make together, who are all multiplied.

    Raises:
        ValueError: there is no vote.
    """
    values = np.stack([_checked(numerators), _checked(denominators)], axis=1)  # (V, 2)
    names, case = np.unique(cases, return_inverse=True)
    people, rater = np.unique(raters, return_inverse=True)
    rater = rater.reshape(len(case), -1)  # (V, K)
    of_cases, of_raters, sums = np.random.default_rng(0), np.random.default_rng(1), []
    for block in np.array_split(np.arange(RESAMPLES), math.ceil(RESAMPLES * len(case) / BLOCK)):
        weight = _times_drawn(len(block), len(names), of_cases)[:, case]  # (R, V)
        weight = weight * _times_drawn(len(block), len(people), of_raters)[:, rater].prod(2)
        sums.append(weight @ values)
    return _bootstrapped(*values.T, *np.concatenate(sums).T, len(names))


def _times_drawn(resamples: int, count: int, rng: Generator) -> np.ndarray:  # (R, count)
    """How often each of `count` things is drawn in each of `resamples`."""
    drawn = rng.integers(count, size=(resamples, count)) + count * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)


def _bootstrapped(over: np.ndarray, under: np.ndarray, overs: np.ndarray, unders: np.ndarray, n: int) -> Figure:
    """The ratio of what `over` and `under` sum up to; the interval from these sums in each resample, (R,) each."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value, resampled = over.sum() / under.sum(), overs / unders
    known = resampled[~np.isnan(resampled)] if not np.isnan(value) else np.array([value])
    between = "linear" if np.isfinite(resampled).all() else "nearest"  # nothing lies between infinities
    low, high = np.quantile(known, [0.025, 0.975], method=between)
    return Figure(value=float(value), low=float(min(low, value)), high=float(max(high, value)), n=n)


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
