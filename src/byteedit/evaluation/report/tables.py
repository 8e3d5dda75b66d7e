"""The paper's Tables 1 and 2 and Figures 3 and 6 as rows, of what was measured: dictionaries that hold `Figure`s.

A study of best and worst has rows of its own: the paper has no table of them.

A row says where it comes from: `by` is the gold judge, people, or the name of a score. Rendering is the business of
`markdown` and `page`.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from byteedit.evaluation import TASKS
from byteedit.evaluation.comparison import compare, outcome, verdict, win_rates
from byteedit.evaluation.figures import Figure
from byteedit.evaluation.report.published import AXES
from byteedit.evaluation.report.reading import JUDGED, Entry, Run, holding, named, paired

__all__ = [
    "MARKED",
    "Row",
    "comparisons",
    "marks_of_runs",
    "marks_of_study",
    "picks_of_study",
    "scores_of_runs",
    "unplaced",
    "votes_of_study",
    "win_rates_of",
]

JUDGE = "the gold judge"
LOWER = ("changed", "seam", "border_contrast", "lpips.masked", "lpips.unmasked")  # scores of which less is better
FORMS = ("clip100", "clip_w")  # of CLIPScore, which Table 2 has as a cosine
ASIDE = (*AXES, JUDGED, "class", "colour", "explained", "psnr", "seam_true", "psnr.unmasked", "ssim.unmasked")
"""Scores that Table 2 leaves to the table of all figures: marks, and what others there say as well."""

MARKED = [(task, axis) for task in TASKS for axis in AXES if (task, axis) != ("erasing", "aesthetics")]
"""The columns of Table 1; erasing has no aesthetics."""

Row = dict[str, Any]


def marks_of_runs(runs: Sequence[Run]) -> list[Row]:
    """Table 1: mean marks by system, task and axis, of runs whose cases the judge marks."""
    return [
        {"by": JUDGE, "benchmark": run.label, "system": entry.name, "task": task, "axis": axis}
        | {"mark": entry.figures[f"{task}.{axis}"]}
        for run in runs
        for entry in run.entries
        for task in TASKS
        for axis in AXES
        if f"{task}.{JUDGED}" in entry.figures and f"{task}.{axis}" in entry.figures
    ]


def marks_of_study(summary: dict) -> list[Row]:
    """The same of a study of the kind "scores", as `human.summary` summarises it."""
    about = {"by": "people", "benchmark": summary["study"]["folder"]}
    return [
        about | {name: row[name] for name in ("system", "task", "axis")} | {"mark": Figure(**row["mean"])}
        for row in summary["results"]
        if "mean" in row
    ]


def unplaced(summary: dict) -> Iterator[str]:
    """A line on a study's marks for which Table 1 has no column, where there are any."""
    rows = [row for row in summary["results"] if "mean" in row and (row["task"], row["axis"]) not in MARKED]
    if rows:
        about = dict.fromkeys(f"{row['axis']} ({row['task'] or 'no task'})" for row in rows)
        yield f"{summary['study']['folder']}: Table 1 has no place for {', '.join(about)}; report.json has these marks."


def picks_of_study(summary: dict) -> list[Row]:
    """How often each system was the best and the worst in a study of the kind "best-worst", by task."""
    about = {"by": "people", "benchmark": summary["study"]["folder"]}
    return [about | {k: _figure(v) for k, v in row.items()} for row in summary["results"] if "best" in row]


def scores_of_runs(runs: Sequence[Run]) -> list[Row]:
    """Table 2: scores by benchmark, system and task."""
    rows = []
    for run in runs:
        for entry in run.entries:
            for name, figure in entry.figures.items():
                task, _, score = name.partition(".")
                if score not in ASIDE and score.partition(".")[0] not in FORMS:
                    about = {"benchmark": run.label, "system": entry.name, "task": task, "score": score}
                    rows.append(about | {"value": figure})
    return rows


def comparisons(runs: Sequence[Run], ours: str | None, by: str | None) -> list[Row]:
    """Figure 3: Good, Same, Bad of one system, the first by default, against each other of its run, by task.

    The judge finds better what is better on more axes than it is worse on. By a score, more is better, less of those
    in `LOWER`, and only what is equal is the same. Runs without the score have no rows.
    """
    rows = []
    for run in holding(runs, ours) if ours else runs:
        first, score = named(run, ours) or run.entries[0], run.main_score(by)
        others = [entry for entry in run.entries if score and entry is not first]
        rows += [row for other in others for row in _compared(run, first, other, score)]
    return rows


def _compared(run: Run, ours: Entry, theirs: Entry, score: str) -> Iterator[Row]:
    for task, pairs in paired(ours, theirs, score).items():
        outcomes = [verdict(a, b) if score == JUDGED else outcome(_apart(a, b, score)) for a, b in pairs]
        about = {"by": _judge(score), "benchmark": run.label, "task": task, "axis": "overall"}
        yield about | {"system": ours.name, "other": theirs.name} | compare(outcomes)


def votes_of_study(summary: dict) -> list[Row]:
    """The same of a study of the kind "gsb", as `human.summary` summarises it."""
    about = {"by": "people", "benchmark": summary["study"]["folder"]}
    return [about | {k: _figure(v) for k, v in row.items()} for row in summary["results"] if "good" in row]


def _figure(value: Any) -> Any:
    """A figure of a summary's, which has None for what is infinite."""
    if not isinstance(value, dict):
        return value
    return Figure(**{name: math.inf if number is None else number for name, number in value.items()})


def win_rates_of(runs: Sequence[Run], pairs: Sequence[tuple[str, str]], by: str | None) -> list[Row]:
    """Figure 6: win rates of one system against another, by task and axis of the judge, or by a score.

    Runs without the score have no rows.
    """
    rows = []
    for one, other in pairs:
        for run in holding(runs, one, other):
            if score := run.main_score(by):
                about = {"by": _judge(score), "benchmark": run.label, "system": one, "other": other}
                scored = paired(named(run, one), named(run, other), score)
                rows += [about | row for row in _won(scored, score)]
    return rows


def _won(scored: dict[str, list[tuple[dict, dict]]], score: str) -> Iterator[Row]:
    if score != JUDGED:
        for task, pairs in scored.items():
            compared = compare(outcome([_apart(a, b, score) for a, b in pairs]))
            yield {"task": task, "axis": score, "win_rate": compared["win_rate"]}
        return
    ours, theirs = ([pair[side] for pairs in scored.values() for pair in pairs] for side in (0, 1))
    for name, figure in win_rates(ours, theirs).items():
        task, _, axis = name.partition(".")
        yield {"task": task, "axis": axis, "win_rate": figure}


def _apart(ours: dict, theirs: dict, score: str) -> float:
    return theirs[score] - ours[score] if score in LOWER else ours[score] - theirs[score]


def _judge(score: str) -> str:
    return JUDGE if score == JUDGED else score
