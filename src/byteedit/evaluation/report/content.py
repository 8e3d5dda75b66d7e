"""All that a report says, gathered once and shown three times: as JSON here, as Markdown and as a page beside.

What was measured and what the paper published stand side by side and are never mixed: other pictures, other judges.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from byteedit.evaluation.figures import plain
from byteedit.evaluation.human.tables import raters_left_out
from byteedit.evaluation.report import published
from byteedit.evaluation.report.reading import Entry, Run, told_apart
from byteedit.evaluation.report.tables import (
    Row,
    comparisons,
    marks_of_runs,
    marks_of_study,
    picks_of_study,
    scores_of_runs,
    unplaced,
    votes_of_study,
    win_rates_of,
)

__all__ = ["Content", "gather", "to_json"]


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a report says."""

    runs: list[Run]
    ours: str
    """The system that the others are compared with."""

    by: str | None
    """The score that answers are compared and ranked by, where one was asked for."""

    marks: list[Row]  # Table 1
    scores: list[Row]  # Table 2
    votes: list[Row]  # Figure 3
    ablations: list[Row]  # Figure 6
    picks: list[Row]  # of studies of best and worst

    left_out: list[str]
    """Lines on what is missing, and why."""

    @property
    def incomparable(self) -> list[str]:
        """Lines on the runs of several systems that stand where these would be compared."""
        runs = [run for run in self.runs if len(run.entries) > 1 and not (self.by or run.main_score())]
        return [f"{run.folder.name}: no score to compare by; name one with --by." for run in runs]


def gather(
    runs: Sequence[Run],
    studies: Sequence[dict] = (),
    *,
    ours: str | None = None,
    ablations: Sequence[tuple[str, str]] = (),
    by: str | None = None,
) -> Content:
    """The content of a report.

    Args:
        runs: one or more, as `read_run` gives them.
        studies: summaries of studies with people, as `human.summary` gives them.
        ours: the system that the others are compared with; None: the first of each run.
        ablations: pairs of systems, with and without what is tried.
        by: the score that answers are compared and ranked by; None: the judge's marks, or else the first usual one.

    Raises:
        ValueError: no run has a system, or the score as a number.
    """
    runs = told_apart(runs)
    if by and not any(run.main_score(by) for run in runs):
        there = sorted(set().union(*(run.scores for run in runs)))
        raise ValueError(f"no run has a score {by} that is a number; there are {', '.join(there) or 'none'}.")
    return Content(
        runs=runs,
        ours=ours or runs[0].entries[0].name,
        by=by,
        marks=marks_of_runs(runs) + [row for study in studies for row in marks_of_study(study)],
        scores=scores_of_runs(runs),
        votes=comparisons(runs, ours, by) + [row for study in studies for row in votes_of_study(study)],
        ablations=win_rates_of(runs, ablations, by),
        picks=[row for study in studies for row in picks_of_study(study)],
        left_out=[line for study in studies for line in _of_study(study)] + list(_without_score(runs, by)),
    )


def _of_study(study: dict) -> Iterator[str]:
    """A line on each rater of a study who is left out, and on its marks that have no place."""
    yield from (f"{study['study']['folder']}: {line}" for line in raters_left_out(study["raters"]))
    yield from unplaced(study)


def _without_score(runs: Sequence[Run], by: str | None) -> Iterator[str]:
    """A line on each run, and on each system of the others, that has nothing to be compared by."""
    for run in runs:
        score = run.main_score(by)
        if score:
            lacking = [e for e in run.entries if not any(score in scores for scores in e.scored().values())]
            names = [f"{run.folder.name}/{entry.name}" for entry in lacking]
        else:
            names = [run.folder.name]
        what = f"score {score or by}" if score or by else "usual score"
        yield from (f"{name} has no {what}: its answers are neither compared nor shown." for name in names)


def to_json(content: Content) -> dict[str, Any]:
    """Everything, with the paper's figures under `published`; figures as `value`, `low`, `high` and `n`."""
    rows = {field.name: getattr(content, field.name) for field in fields(content) if field.name != "runs"}
    return plain({"runs": [_run(run) for run in content.runs]} | rows) | {"published": _published()}


def _run(run: Run) -> dict[str, Any]:
    return {"run": run.folder.name, "told": run.told, "systems": {e.name: _entry(e) for e in run.entries}}


def _entry(entry: Entry) -> dict[str, Any]:
    tasks = dict.fromkeys(line["task"] for line in entry.lines)
    counted = {task: sum(line["task"] == task for line in entry.lines) for task in tasks}
    return {"settings": entry.settings, "cases": counted, "failed": entry.failed, "figures": entry.figures}


def _published() -> dict[str, Any]:
    return {
        "source": published.SOURCE,
        "marks": {"axes": published.AXES, "systems": published.EXPERTS},
        "scores": {"names": ["clip", "blip_itm"], "benchmarks": published.WORDS},
        "votes": published.VOTES,
        "ablations": published.ABLATIONS,
    }
