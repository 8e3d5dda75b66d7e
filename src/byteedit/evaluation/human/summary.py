"""What a study says: for every task and axis the figures of its systems, how far raters agree, and how each did.

A summary is a dictionary as JSON has it; `tables` makes Markdown of it. Only the last answer of each rater to each
question counts, attention checks never do. Bootstrap intervals resample images (cases).
Source of the tables' form: ByteEdit (arXiv 2404.04860), its expert scores, GSB votes and ablations.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import combinations
from statistics import median

from byteedit.data.skipped import Skipped
from byteedit.evaluation.figures import Figure, plain, ratio
from byteedit.evaluation.human.agreement import ordinal_alpha, z_scores
from byteedit.evaluation.human.answers import Answer, latest, passed, read_answers
from byteedit.evaluation.human.studies import Question, Study
from byteedit.evaluation.preference import compare

__all__ = ["summarise", "trusted"]


def summarise(study: Study, min_attention: float = 0.0) -> dict:
    """All figures of a study, from the answers that there are.

    Args:
        study: As `open_study` gives it.
        min_attention: Raters who pass a smaller share of the attention checks that they answered are left out.

    Returns:
        `study`, `answers`, `raters`, `results`, `agreement` as docs/studies.md says. A figure has `value`, `low` and
        `high` (95 %) and `n`, the images; what is infinite or undefined is None.

    Raises:
        ValueError: no question was answered by a rater who counts.
    """
    skipped = Skipped()
    written = read_answers(study, skipped)
    answers = latest(written)
    kept, left_out = trusted(study, answers, min_attention)
    if not kept:
        if left_out:
            raise ValueError(f"all {len(left_out)} raters passed less than {min_attention:g} of their checks.")
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
    """The answers that count, without attention checks, and the raters who are left out because they failed these."""
    left_out = set()
    for rater, own in _by_rater(answers).items():
        checks = _checks(study, own)
        if checks and sum(checks) / len(checks) < min_attention:
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
    sides = defaultdict(list)
    for answer in answers:
        decided = [side == "left" for side in answer.value.values() if side in ("left", "right")]
        sides[study.questions[answer.question].case] += decided
    images = [of for of in sides.values() if of]
    return ratio(map(sum, images), map(len, images)) if images else None


def _in_order(study: Study, groups: dict[tuple, dict]) -> list[tuple[tuple, dict]]:
    """Groups by (task, axis) or (task, axis, system): by task, and as the study names axes and systems."""
    systems = list(study.systems)

    def rank(group):
        (task, axis, *system), _ = group
        return task, study.settings.asked_of(task).index(axis), *map(systems.index, system)

    return sorted(groups.items(), key=rank)


# Good, Same, Bad


def _outcome(study: Study, question: Question, side: str) -> int:
    """1 where the study's first system won, 0 where it was the same, -1 where the other won."""
    ours = question.systems.index(next(iter(study.systems)))
    return 0 if side == "same" else 1 if side == ("left", "right")[ours] else -1


def _compared(study: Study, answers: list[Answer]) -> list[dict]:
    ours = next(iter(study.systems))
    votes = defaultdict(lambda: defaultdict(Counter))
    for answer in answers:
        question = study.questions[answer.question]
        [other] = set(question.systems) - {ours}
        for axis, side in answer.value.items():
            votes[question.task, axis, other][question.case][_outcome(study, question, side)] += 1
    return [
        {"task": task, "axis": axis, "system": ours, "other": other}
        | compare(*([image[outcome] for image in images.values()] for outcome in (1, 0, -1)))
        for (task, axis, other), images in _in_order(study, votes)
    ]


# Marks from 1 to 5


def _marked(study: Study, answers: list[Answer]) -> list[dict]:
    marks = [(answer, axis, mark) for answer in answers for axis, mark in answer.value.items()]
    by_rater_and_axis = [f"{axis}/{answer.rater}" for answer, axis, _ in marks]
    scores = z_scores([mark for *_, mark in marks], by_rater_and_axis)
    images = defaultdict(lambda: defaultdict(list))
    for (answer, axis, mark), score in zip(marks, scores, strict=True):
        question = study.questions[answer.question]
        images[question.task, axis, question.systems[0]][question.case].append((mark, score))
    return [
        {"task": task, "axis": axis, "system": system}
        | {"votes": sum(map(len, of.values())), "mean": _over(of.values(), 0), "z": _over(of.values(), 1)}
        for (task, axis, system), of in _in_order(study, images)
    ]


def _over(images: Iterable[list[tuple]], which: int) -> Figure:
    """The mean over votes of their entry number `which`; the interval resamples images."""
    images = list(images)
    return ratio((sum(vote[which] for vote in votes) for votes in images), map(len, images))


# Best and worst of several


def _picked(study: Study, answers: list[Answer]) -> list[dict]:
    images = defaultdict(lambda: defaultdict(list))
    for answer in answers:
        question = study.questions[answer.question]
        for position, system in enumerate(question.systems, 1):
            best, worst = (answer.value[end] == position for end in ("best", "worst"))
            images[question.task, "overall", system][question.case].append((best, worst, best - worst))
    names = ("best", "worst", "net")
    return [
        {"task": task, "axis": axis, "system": system, "votes": sum(map(len, of.values()))}
        | {name: _over(of.values(), which) for which, name in enumerate(names)}
        for (task, axis, system), of in _in_order(study, images)
    ]


# Agreement


def _agreement(study: Study, answers: list[Answer]) -> list[dict]:
    """Pairs of votes that are the same, and alpha, for each task and axis.

    Of best-worst, whether each picture is the best (1), the worst (-1) or neither.
    """
    judged = defaultdict(lambda: defaultdict(list))
    for answer in answers:
        question = study.questions[answer.question]
        for axis, unit, value in _values(study, question, answer):
            judged[question.task, axis][unit].append(value)
    return [
        {"task": task, "axis": axis, "judged_twice": _twice(units)}
        | {"same": _same(study, units), "alpha": ordinal_alpha(units.values())}
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
    """The share of pairs of votes on one thing that say the same; the interval resamples images. None without pairs."""
    images = defaultdict(list)
    for unit, values in units.items():
        question = study.questions[unit if isinstance(unit, str) else unit[0]]
        images[question.case] += [one == other for one, other in combinations(values, 2)]
    pairs = [of for of in images.values() if of]
    return ratio(map(sum, pairs), map(len, pairs)) if pairs else None
