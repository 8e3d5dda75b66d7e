"""Tables 1 and 2 as grids of systems by axes or scores: measured rows first, the paper's below, each under its source.

What people picked as best and worst is a grid as well.

A grid knows nothing of Markdown or HTML, but how each of its columns is called and written.
"""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from byteedit.evaluation.figures import Figure
from byteedit.evaluation.report import published
from byteedit.evaluation.report.content import Content
from byteedit.evaluation.report.tables import MARKED, Row

__all__ = ["PUBLISHED", "Column", "Grid", "Line", "mark_grid", "pick_grid", "score_grids", "written"]

PUBLISHED = f"published: {published.SOURCE}"
WORDS = {
    "right": ("as asked", "{:.1%}"),
    "no_object": ("nothing left there", "{:.1%}"),
    "changed": ("pixels changed outside the mask", "{:.1%}"),
    "psnr.masked": ("PSNR in the mask, dB", "{:.1f}"),
    "ssim.masked": ("SSIM in the mask", "{:.3f}"),
    "lpips.masked": ("LPIPS in the mask", "{:.3f}"),
    "lpips.unmasked": ("LPIPS outside the mask", "{:.3f}"),
    "seam": ("seam, in levels of 255, 0 = none", "{:.2f}"),
    "border_contrast": ("contrast across the mask's border, of 255", "{:.1f}"),
    "clip.full": ("CLIPScore, full prompt", "{:.3f}"),
    "clip.simple": ("CLIPScore, mask and simple prompt", "{:.3f}"),
    "clip.rich": ("CLIPScore, mask and rich prompt", "{:.3f}"),
    "blip_itm.full": ("BLIPScore itm, full prompt", "{:.3f}"),
    "blip_itm.simple": ("BLIPScore itm, mask and simple prompt", "{:.3f}"),
    "blip_itm.rich": ("BLIPScore itm, mask and rich prompt", "{:.3f}"),
    "reward.aesthetic": ("aesthetic reward", "{:.2f}"),
    "reward.alignment": ("alignment reward", "{:.2f}"),
    "reward.coherence": ("coherence, whole picture", "{:.2f}"),
    "reward.coherence.masked": ("coherence in the mask", "{:.2f}"),
    "clip_fid": ("Fréchet distance in CLIP's features", "{:.2f}"),
    "clip_kid": ("kernel distance in CLIP's features", "{:.4f}"),
}
"""What a score is called, and how its values are written; others go by their names."""
PICKS = {"best": "best", "worst": "worst", "net": "best - worst"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column's head, and the form of its values."""

    words: str
    form: str
    group: str = ""
    """What it and its neighbours are about together."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row: a system and its values, None where it has none; what was only published has no interval."""

    label: str
    source: str
    cells: Sequence[Figure | float | None]

    @property
    def measured(self) -> bool:
        """Whether it was measured here."""
        return self.source != PUBLISHED


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table."""

    title: str
    columns: Sequence[Column]
    lines: Sequence[Line]

    def said(self, line: Line) -> list[tuple[str, str, str]]:
        """Each value of a line in words, its interval, and its n where another of the column is from more cases."""
        columns = zip(*(other.cells for other in self.lines), strict=True)
        most = [max((cell.n for cell in cells if isinstance(cell, Figure)), default=0) for cells in columns]
        return [
            (*written(cell, column.form), f"n = {cell.n}" if isinstance(cell, Figure) and cell.n < n else "")
            for cell, column, n in zip(line.cells, self.columns, most, strict=True)
        ]


def mark_grid(content: Content) -> Grid:
    """Table 1: tasks by axes."""
    lines = _measured(
        ((_source(row), row["system"], (row["task"], row["axis"]), row["mark"]) for row in content.marks), MARKED
    )
    for system, marks in published.EXPERTS.items():
        cells = [marks[task][published.AXES.index(axis)] for task, axis in MARKED]
        lines.append(Line(label=system, source=PUBLISHED, cells=cells))
    columns = [Column(words=axis, form="{:.2f}", group=task) for task, axis in MARKED]
    return Grid(title="Marks from 1 to 5", columns=columns, lines=lines)


def pick_grid(content: Content) -> Grid:
    """How often people picked each system as the best and as the worst, by task."""
    asked = [(task, name) for task in dict.fromkeys(row["task"] for row in content.picks) for name in PICKS]
    values = ((_source(r), r["system"], (r["task"], name), r[name]) for r in content.picks for name in PICKS)
    columns = [Column(words=PICKS[name], form="{:.1%}", group=task) for task, name in asked]
    return Grid(title="Picks", columns=columns, lines=_measured(values, asked))


def _source(row: Row) -> str:
    return f"{row['by']}, {row['benchmark']}"


def _measured(values: Iterable[tuple[str, str, Hashable, Figure]], asked: Sequence[Hashable]) -> list[Line]:
    """Lines from source, system, column and value; a system with none of the columns has no line."""
    found: dict[tuple[str, str], dict[Hashable, Figure]] = {}
    for source, system, column, value in values:
        if column in asked:
            found.setdefault((source, system), {})[column] = value
    return [Line(label=s, source=source, cells=list(map(of.get, asked))) for (source, s), of in found.items()]


def score_grids(content: Content) -> list[Grid]:
    """Table 2, a grid for each benchmark and task; the paper's own stand with theirs, or last where it was not run."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in content.scores:
        groups.setdefault((row["benchmark"], row["task"]), []).append(row)
    names = {run.label: run.benchmark for run in content.runs}
    grids = [_score_grid(label, task, rows, names[label]) for (label, task), rows in groups.items()]
    there = {names[label] for label, task in groups if task == "editing"}
    return grids + [_published_grid(name) for name in published.WORDS if name not in there]


def _score_grid(label: str, task: str, rows: Sequence[Row], benchmark: str) -> Grid:
    there = dict.fromkeys(row["score"] for row in rows)
    names = [name for name in WORDS if name in there] + [name for name in there if name not in WORDS]
    lines = _measured((("measured", row["system"], row["score"], row["value"]) for row in rows), names)
    if task == "editing":
        lines += _published_lines(benchmark, names)
    columns = [Column(words=words, form=form) for words, form in (WORDS.get(n, (n, "{:.3f}")) for n in names)]
    return Grid(title=f"{label}, {task}", columns=columns, lines=lines)


def _published_lines(benchmark: str, names: Sequence[str]) -> list[Line]:
    lines = []
    for system, (clip, blip) in published.WORDS.get(benchmark, {}).items():
        given = {"clip.full": clip, "blip_itm.full": blip}
        lines.append(Line(label=system, source=PUBLISHED, cells=[given.get(name) for name in names]))
    return lines


def _published_grid(benchmark: str) -> Grid:
    columns = [Column(words=words, form="{:.3f}") for words in ("CLIPScore", "BLIPScore")]
    lines = _published_lines(benchmark, ("clip.full", "blip_itm.full"))
    return Grid(title=f"{benchmark}, not run here", columns=columns, lines=lines)


def written(value: Figure | float | None, form: str) -> tuple[str, str]:
    """A value and its interval in words; empty where there is none."""
    if not isinstance(value, Figure):
        return ("" if value is None else form.format(value)), ""
    said, low, high = ("∞" if math.isinf(end) else form.format(end) for end in (value.value, value.low, value.high))
    return said, f"{low} to {high}" if value.low < value.high else ""
