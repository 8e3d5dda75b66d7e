"""What a study says: for every task and axis the figures of its systems, how far raters agree, and how each did.

A summary is a dictionary as JSON has it; `tables` makes Markdown of it. Only the last answer of each rater to each
question counts, attention checks never do. Bootstrap intervals resample images (cases) and raters.
Source of the tables' form: ByteEdit (arXiv 2404.04860), its expert scores, GSB votes and ablations.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import combinations
from statistics import median

import numpy as np

from byteedit.data.skipped import Skipped
from byteedit.evaluation.comparison import compare
from byteedit.evaluation.figures import Figure, crossed, plain
from byteedit.evaluation.human.agreement import ordinal_alpha, z_scores
from byteedit.evaluation.human.answers import Answer, latest, passed, read_answers
from byteedit.evaluation.human.studies import Question, Study

__all__ = ["summarise", "trusted"]


def summarise(study: Study, min_attention: float = 0.0) -> dict:
    """All figures of a study, from the answers that there are.

    Args:
        study: As `open_study` gives it.
        min_attention: Raters who pass a smaller share of the attention checks that they answered are left out; above 0
            also those who answered none.

    Returns:
        `study`, `answers`, `raters`, `results`, `agreement` as docs/studies.md says. A figure has `value`, `low` and
        `high` (95 %) and `n`, the images; what is infinite or undefined is None.

    Raises:
        ValueError: no question was answered by a rater who counts, or `min_attention` is above 0 and there are no
            attention checks.
    """
    skipped = Skipped()
    written = read_answers(study, skipped)
    answers = latest(written)
    kept, left_out = trusted(study, answers, min_attention)
    if not kept:
        if left_out:
            less = f"passed less than {min_attention:g} of their checks, or answered none"
            raise ValueError(f"all {len(left_out)} raters {less}.")
        found = f" ({skipped})" if skipped.reasons else ""
        raise ValueError(f"{study.folder} has no answers to count{found}; let someone answer it first.")
    figures = {"gsb": _compared, "scores": _marked, "best-worst": _picked}[study.settings.kind]
    return plain(
        {
            "study": {
                "folder": study.folder.name,
                "settings": asdict(study.settings),
                "systems": study.systems,
                "questions": len(study.questions),
                "cases_left_out": study.left_out,
                "remarks": study.remarks,
            },
            "answers": {
                "counted": len(kept),
                "changed": len(written) - len(answers),
                "left_out": dict(skipped.reasons),
                "left_side": _left_side(study, kept),
            },
            "raters": [_rater(study, key, own, key in left_out) for key, own in _by_rater(answers).items()],
            "results": figures(study, kept),
            "agreement": _agreement(study, kept),
        }
    )


def trusted(study: Study, answers: Sequence[Answer], min_attention: float) -> tuple[list[Answer], set[str]]:
    """The answers that count, without attention checks, and the raters who are left out for these.

    Raises:
        ValueError: `min_attention` is above 0, and the study has no attention checks.
    """
    if min_attention > 0 and all(question.damaged is None for question in study.questions.values()):
        raise ValueError(
            f"{study.folder} has no attention checks, so that nobody can be left out by min_attention "
            f"{min_attention:g}; leave it at 0."
        )
    left_out = set()
    for rater, own in _by_rater(answers).items():
        checks = _checks(study, own)
        if (sum(checks) / len(checks) if checks else 0) < min_attention:
            left_out.add(rater)
    regular = (answer for answer in answers if study.questions[answer.question].damaged is None)
    return [answer for answer in regular if answer.rater not in left_out], left_out


def _checks(study: Study, answers: Iterable[Answer]) -> list[bool]:
    pairs = ((study.questions[answer.question], answer.value) for answer in answers)
    return [passed(question, value) for question, value in pairs if question.damaged is not None]


def _by_rater(answers: Iterable[Answer]) -> dict[str, list[Answer]]:
    grouped = defaultdict(list)
    for answer in answers:
        grouped[answer.rater].append(answer)
    return dict(sorted(grouped.items()))


def _rater(study: Study, key: str, answers: list[Answer], left_out: bool) -> dict:
    seconds = [answer.seconds for answer in answers if answer.seconds is not None]
    checks = _checks(study, answers)
    return {
        "rater": key,
        "answers": len(answers),
        "checks": len(checks),
        "checks_passed": sum(checks),
        "median_seconds": median(seconds) if seconds else None,
        "left_out": left_out,
    }


def _left_side(study: Study, answers: list[Answer]) -> Figure | None:
    """How often the left side wins; far from a half, raters do not look, or sides are not balanced."""
    decided = [
        (study.questions[answer.question].case, answer.rater, side == "left")
        for answer in answers
        for side in answer.value.values()
        if side in ("left", "right")
    ]
    return _mean(decided) if decided else None


def _in_order(study: Study, groups: dict[tuple, dict]) -> list[tuple[tuple, dict]]:
    """Groups by (task, axis) or (task, axis, system): by task, and as the study names axes and systems."""
    systems = list(study.systems)
    axes = {question.task: study.axes(question) for question in study.questions.values()}

    def rank(group):
        (task, axis, *system), _ = group
        return task, axes[task].index(axis), *map(systems.index, system)

    return sorted(groups.items(), key=rank)


# Good, Same, Bad


def _outcome(study: Study, question: Question, side: str) -> int:
    """1 where the study's first system won, 0 where it was the same, -1 where the other won."""
    ours = question.systems.index(next(iter(study.systems)))
    return 0 if side == "same" else 1 if side == ("left", "right")[ours] else -1


def _compared(study: Study, answers: list[Answer]) -> list[dict]:
    ours = next(iter(study.systems))
    votes = defaultdict(list)
    for answer in answers:
        question = study.questions[answer.question]
        [other] = set(question.systems) - {ours}
        for axis, side in answer.value.items():
            votes[question.task, axis, other].append((question.case, answer.rater, _outcome(study, question, side)))
    return [
        {"task": task, "axis": axis, "system": ours, "other": other, "raters": _raters(of)} | _figures_of(of)
        for (task, axis, other), of in _in_order(study, votes)
    ]


def _figures_of(votes: list[tuple]) -> dict:
    images, raters, outcomes = zip(*votes, strict=True)
    return compare(outcomes, images, raters)


# Marks from 1 to 5


def _marked(study: Study, answers: list[Answer]) -> list[dict]:
    marks = [(answer, axis, mark) for answer in answers for axis, mark in answer.value.items()]
    by_rater_and_axis = [f"{axis}/{answer.rater}" for answer, axis, _ in marks]
    scores = z_scores([mark for *_, mark in marks], by_rater_and_axis)
    votes = defaultdict(list)
    for (answer, axis, mark), score in zip(marks, scores, strict=True):
        question = study.questions[answer.question]
        votes[question.task, axis, question.systems[0]].append((question.case, answer.rater, mark, score))
    return _means(study, votes, ("mean", "z"))


def _means(study: Study, votes: dict[tuple, list[tuple]], names: Sequence[str]) -> list[dict]:
    """A row for each group of votes (case, rater, value, ...), with the mean of each of the values by its name."""
    return [
        {"task": task, "axis": axis, "system": system, "raters": _raters(of), "votes": len(of)}
        | {name: _mean(of, which) for which, name in enumerate(names)}
        for (task, axis, system), of in _in_order(study, votes)
    ]


def _mean(votes: list[tuple], which: int = 0) -> Figure:
    """The mean of votes' (case, rater, value, ...) value number `which`; the interval resamples images and raters."""
    cases, raters, *values = zip(*votes, strict=True)
    return crossed(values[which], np.ones(len(votes)), cases, raters)


def _raters(votes: list[tuple]) -> int:
    return len({rater for _, rater, *_ in votes})


# Best and worst of several


def _picked(study: Study, answers: list[Answer]) -> list[dict]:
    votes = defaultdict(list)
    for answer in answers:
        question = study.questions[answer.question]
        for position, system in enumerate(question.systems, 1):
            best, worst = (answer.value[end] == position for end in ("best", "worst"))
            vote = (question.case, answer.rater, best, worst, best - worst)
            votes[question.task, "overall", system].append(vote)
    return _means(study, votes, ("best", "worst", "net"))


# Agreement


def _agreement(study: Study, answers: list[Answer]) -> list[dict]:
    """Pairs of votes that are the same, and alpha, for each task and axis.

    Of best-worst, whether each picture is the best (1), the worst (-1) or neither.
    """
    judged = defaultdict(lambda: defaultdict(list))
    for answer in answers:
        question = study.questions[answer.question]
        for axis, unit, value in _values(study, question, answer):
            judged[question.task, axis][unit].append((answer.rater, value))
    return [
        {"task": task, "axis": axis, "judged_twice": _twice(units)}
        | {"same": _same(study, units), "alpha": ordinal_alpha([v for _, v in of] for of in units.values())}
        for (task, axis), units in _in_order(study, judged)
    ]


def _values(study: Study, question: Question, answer: Answer) -> list[tuple]:
    """Axis, what was judged, and its ordinal value."""
    if study.settings.kind == "gsb":
        return [(axis, question.id, _outcome(study, question, side)) for axis, side in answer.value.items()]
    if study.settings.kind == "scores":
        return [(axis, question.id, mark) for axis, mark in answer.value.items()]
    ends = {answer.value["best"]: 1, answer.value["worst"]: -1}
    positions = range(1, len(question.systems) + 1)
    return [("overall", (question.id, position), ends.get(position, 0)) for position in positions]


def _twice(units: dict) -> int:
    return sum(len(values) > 1 for values in units.values())


def _same(study: Study, units: dict) -> Figure | None:
    """The share of pairs of votes on one thing that say the same; the interval resamples images, and both raters of a
    pair. None without pairs.
    """
    pairs = [
        (study.questions[unit if isinstance(unit, str) else unit[0]].case, (one, other), said == answered)
        for unit, votes in units.items()
        for (one, said), (other, answered) in combinations(votes, 2)
    ]
    return _mean(pairs) if pairs else None
