"""Answers: one JSONL file for each rater, to which lines are only ever added.

The first line says who it is, every other is an answer under an id that the client made. Who changes their mind answers
again; the answer given last counts, though an earlier one arrive later. What a crash has torn, and what was sent twice,
is counted and left out. Only the file system is relied on: processes on one machine take turns by a lock file.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from byteedit.data.skipped import Skipped
from byteedit.evaluation.human.studies import Question, Study

__all__ = [
    "Answer",
    "append",
    "check",
    "check_id",
    "given",
    "is_of",
    "latest",
    "lock",
    "passed",
    "read_answers",
    "read_file",
]

Value = dict[str, Any]
SIDES = ("left", "same", "right")
ID = re.compile(r"[\w-]{1,64}", re.ASCII)
SPOILT = 2  # the mark that a spoilt picture may get at most


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A line of a rater's file."""

    id: str
    """Made by the client, new for each answer: letters, digits, - and _, at most 64."""

    question: str
    """The question's id."""

    rater: str
    """Who answered."""

    value: Value
    """gsb: "left", "same" or "right" for each axis. scores: a mark from 1 to 5 for each axis. best-worst: "best" and
    "worst", positions from 1."""

    time: str
    """When it was given, ISO 8601, UTC: when it was written, less the time that it waited to be sent."""

    seconds: float | None = None
    """How long the rater looked, where the client says so."""


def check(study: Study, question: Question, value: Value) -> None:
    """Make sure that `value` answers `question`.

    Raises:
        ValueError: it does not.
    """
    axes, count = study.axes(question), len(question.pictures)
    expected, fits = {
        "gsb": (f"one of {', '.join(SIDES)} for each of {', '.join(axes)}", _fits_gsb),
        "scores": (f"a whole mark from 1 to 5 for each of {', '.join(axes)}", _fits_scores),
        "best-worst": (f"best and worst, two positions from 1 to {count}", _fits_best_worst),
    }[study.settings.kind]
    if not isinstance(value, dict) or not fits(value, axes, count):
        raise ValueError(f"question {question.id} was answered {value!r}; expected {expected}.")


def check_id(answer_id: str) -> None:
    """Make sure that an answer's id is one. Raises ValueError where it is not."""
    if not isinstance(answer_id, str) or not ID.fullmatch(answer_id):
        raise ValueError(f"the answer's id is {answer_id!r}; expected 1 to 64 letters, digits, - or _.")


def _fits_gsb(value: Value, axes: Sequence[str], count: int) -> bool:
    return set(value) == set(axes) and all(side in SIDES for side in value.values())


def _fits_scores(value: Value, axes: Sequence[str], count: int) -> bool:
    return set(value) == set(axes) and all(_whole(mark, 5) for mark in value.values())


def _fits_best_worst(value: Value, axes: Sequence[str], count: int) -> bool:
    whole = all(_whole(position, count) for position in value.values())
    return set(value) == {"best", "worst"} and whole and value["best"] != value["worst"]


def _whole(number: Any, most: int) -> bool:
    return type(number) is int and 1 <= number <= most


def passed(question: Question, value: Value) -> bool:
    """Whether an attention check was answered as it must be: the spoilt picture loses, or gets low marks."""
    count = len(question.pictures)  # 1 in scores, 2 in gsb, 3 or more in best-worst
    if count == 1:
        return all(mark <= SPOILT for mark in value.values())
    if count == 2:
        return all(side == ("right" if question.damaged == 1 else "left") for side in value.values())
    return value["worst"] == question.damaged


def lock(study: Study) -> FileLock:
    """What everyone holds who adds to a study's answers; `with lock(study): ...`."""
    return FileLock(study.folder / "answers" / ".lock")


def append(file: Path, answer: Answer) -> None:
    """Add a line and wait until it is on the disk. A torn line before it is closed first. Hold the lock."""
    line = json.dumps(asdict(answer), ensure_ascii=False).encode() + b"\n"
    with open(file, "rb+") as answers:
        answers.seek(-1, os.SEEK_END)
        torn = answers.read(1) != b"\n"
        answers.write(b"\n" + line if torn else line)
        answers.flush()
        os.fsync(answers.fileno())


def is_of(study: Study, content: bytes) -> bool:
    """Whether a rater's file is this study's, by its first line; one that names no study, as older files, may be."""
    try:
        return json.loads(content.split(b"\n", 1)[0])["study"] == study.token
    except (ValueError, TypeError, KeyError):
        return True


def read_file(file: Path, study: Study, skipped: Skipped) -> list[Answer]:
    """The answers of one rater in the order of writing; what is none of this study is counted and left out.

    Ids of questions are alike in all studies, so a file of another study is left out as a whole.
    """
    content = file.read_bytes()
    lines = list(filter(None, content.split(b"\n")[1:]))
    if not is_of(study, content):
        skipped.add("not an answer to this study", len(lines))
        return []
    answers: dict[str, Answer] = {}
    for line in lines:
        try:
            answer = Answer(**json.loads(line))
            check_id(answer.id)
            check(study, study.questions[answer.question], answer.value)
        except (ValueError, TypeError, KeyError) as error:
            torn = isinstance(error, (json.JSONDecodeError, UnicodeDecodeError))
            skipped.add("torn line" if torn else "not an answer to this study")
            continue
        if answer.id in answers:
            skipped.add("sent twice")
        else:
            answers[answer.id] = answer
    return list(answers.values())


def read_answers(study: Study, skipped: Skipped) -> list[Answer]:
    """All answers of all raters, attention checks and changes of mind included, in the order of writing."""
    files = sorted((study.folder / "answers").glob("*.jsonl"))
    return [answer for file in files for answer in read_file(file, study, skipped)]


def latest(answers: Sequence[Answer]) -> list[Answer]:
    """The answer that each rater gave last to each question; of those of one time the one that was written last."""
    last: dict[tuple[str, str], Answer] = {}
    for answer in answers:
        before = last.setdefault((answer.rater, answer.question), answer)
        if given(answer) >= given(before):
            last[answer.rater, answer.question] = answer
    return list(last.values())


def given(answer: Answer) -> datetime:
    """When an answer was given; long ago where its line does not say so."""
    try:
        return datetime.fromisoformat(answer.time).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return datetime.min.replace(tzinfo=UTC)
