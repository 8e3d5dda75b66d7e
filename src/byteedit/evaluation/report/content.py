"""All that a report says, gathered once and shown three times: as JSON here, as Markdown and as a page beside.

What was measured and what the paper published stand side by side and are never mixed: other pictures, other judges.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from byteedit.evaluation.report import published
from byteedit.evaluation.report.figures import plain
from byteedit.evaluation.report.reading import Entry, Run
from byteedit.evaluation.report.tables import (
    Row,
    comparisons,
    marks_of_runs,
    marks_of_study,
    scores_of_runs,
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
        by: the score that answers are compared and ranked by; None: the judge's marks, or else what there is.

    Raises:
        ValueError: a system or score is not there.
    """
    return Content(
        runs=list(runs),
        ours=ours or runs[0].entries[0].name,
        by=by,
        marks=marks_of_runs(runs) + [row for study in studies for row in marks_of_study(study)],
        scores=scores_of_runs(runs),
        votes=comparisons(runs, ours, by) + [row for study in studies for row in votes_of_study(study)],
        ablations=win_rates_of(runs, ablations, by),
    )


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
