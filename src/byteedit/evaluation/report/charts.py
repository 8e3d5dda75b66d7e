"""Bars with 95 % intervals as HTML: the words are the page's own, so that they stay readable on a phone; the bars SVG.

A bar is drawn in per cent of its track and stretched to it; colours come from the page's style sheet.
"""

import math
from collections.abc import Sequence
from html import escape
from itertools import groupby

from byteedit.evaluation.figures import Figure
from byteedit.evaluation.report.grids import Column, Grid, written

__all__ = ["bars", "dot", "stacked"]


def bars(grid: Grid, column: int, ours: str, span: tuple[float, float] | None = None) -> str:
    """A chart of one column of a grid: a bar for every measured system, ours in colour; "" where all are the same.

    Where there are several sources, each stands above its bars. `span` is where bars begin and end; without it, at 0
    (or below) and at the largest value.
    """
    head = grid.columns[column]
    shown = [(line, line.cells[column]) for line in grid.lines if line.measured]
    shown = [(line, cell) for line, cell in shown if isinstance(cell, Figure)]
    if len({cell.value for _, cell in shown}) < 2:
        return ""
    low = min(0.0, *(cell.low for _, cell in shown))
    span = span or (low, max(*(cell.high for _, cell in shown), low + 1e-9))
    rows, sources = "", {line.source for line, _ in shown}
    for source, group in groupby(shown, key=lambda pair: pair[0].source):
        rows += f"<small>{escape(source)}</small>" if len(sources) > 1 else ""
        rows += "".join(_row(line.label, cell, head, span, line.label == ours) for line, cell in group)
    return f'<figure class="chart"><figcaption>{escape(head.words)}</figcaption>{rows}</figure>'


def _row(label: str, cell: Figure, head: Column, span: tuple[float, float], ours: bool) -> str:
    said, interval = written(cell, head.form)
    title = f"{label}: {said}" + (f", 95% interval {interval}" if interval else "") + f", n = {cell.n}"
    return (
        f'<div class="bar{" ours" if ours else ""}" title="{escape(title)}"><span>{escape(label)}</span>'
        f"{bar(cell, span)}<b>{said}</b></div>"
    )


def bar(cell: Figure, span: tuple[float, float]) -> str:
    """The SVG of a bar from the start of `span`, with its interval."""
    value = _share(cell.value, span)
    return _svg(f'<rect class="value" x="0" y="2" width="{value}" height="8"/>{_interval(cell, span)}')


def dot(cell: Figure, middle: float) -> str:
    """The SVG of a dot between 0 and 1 with its interval, and of a line at the `middle`."""
    value, half = _share(cell.value, (0, 1)), _share(middle, (0, 1))
    point = f'<path class="dot" d="M{value} 6h0"/>'
    return _svg(f'<path class="half" d="M{half} 0V12"/>{_interval(cell, (0, 1))}{point}')


def _interval(cell: Figure, span: tuple[float, float]) -> str:
    low, high = _share(cell.low, span), _share(cell.high, span)
    return f'<path class="interval" d="M{low} 6H{high}"/>' if low < high else ""


def stacked(counts: Sequence[int]) -> str:
    """The SVG of Good, Same and Bad, side by side."""
    edges = [0.0]
    for count in counts:
        edges.append(edges[-1] + 100 * count / max(sum(counts), 1))
    parts = zip(("good", "same", "bad"), edges, edges[1:], strict=False)
    return _svg(
        "".join(
            f'<rect class="{name}" x="{start:.2f}" y="0" width="{end - start:.2f}" height="12"/>'
            for name, start, end in parts
        )
    )


def _share(value: float, span: tuple[float, float]) -> float:
    start, end = span
    share = 100 * (value - start) / (end - start)
    return round(min(max(share, 0.0), 100.0), 2) if math.isfinite(share) else 100.0


def _svg(inside: str) -> str:
    return f'<svg viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">{inside}</svg>'
