"""A rater at work: what is asked next, what was answered, how far it is. What an app needs behind its buttons.

Everything is read from the study's folder when it is asked for, so that a rater may pause for a week, open two tabs, or
be served by several processes. A name is all that a rater is known by. No app here.
"""

import json
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from byteedit.data.skipped import Skipped
from byteedit.evaluation.human.answers import (
    Answer,
    Value,
    append,
    check,
    check_id,
    given,
    is_of,
    latest,
    lock,
    read_file,
)
from byteedit.evaluation.human.studies import Question, Study
from byteedit.files import write_atomically

__all__ = ["Progress", "Rater", "join", "rater_key"]

LONGEST = 60  # characters of a name; 4 bytes each fit into a file's name
PATIENCE = timedelta(days=1)  # for which a place is kept for one who joined and has answered nothing
LONGEST_WAIT = timedelta(days=30).total_seconds()  # of an answer, on its way here


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a rater is."""

    done: int
    """Questions answered."""

    total: int
    """Questions asked of this rater."""


def rater_key(name: str) -> str:
    """What a rater is known by: the letters, marks, digits of a name in lower case, with - for all between them.

    Raises:
        ValueError: no letter or digit is left, or more than 60 characters are.
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    kept = (letter if unicodedata.category(letter)[0] in "LMN" else " " for letter in folded)
    key = "-".join("".join(kept).split())
    if not 0 < len(key) <= LONGEST:
        raise ValueError(f"the name {name!r} is not usable; expected 1 to {LONGEST} letters or digits.")
    return key


def join(study: Study, name: str, place: int | None = None) -> "Rater":
    """The rater of that name, who goes on where they were. One who is new gets the place that the fewest have taken.

    A place is taken by who answers from it, and for a day by who has only joined.

    Args:
        study: What is answered.
        name: Kept as `rater_key` says.
        place: Where a rater who seems new says to have been before; it counts where there is such a place.

    Raises:
        ValueError: the name is not usable, or what is kept under it cannot be read or is of another study.
    """
    key = rater_key(name)
    file = study.folder / "answers" / f"{key}.jsonl"
    with lock(study):
        if not file.exists() or not file.stat().st_size:
            if place not in range(len(study.places)):
                taken = [_taken(study, other) for other in (study.folder / "answers").glob("*.jsonl")]
                place = min(range(len(study.places)), key=lambda place: (taken.count(place), place))
            head = {"rater": key, "place": place, "joined": _now().isoformat(), "study": study.token}
            write_atomically(file, json.dumps(head, ensure_ascii=False).encode() + b"\n")
    if not is_of(study, file.read_bytes()):
        raise ValueError(f"{file.name} holds answers to another study; take another name, or tell who runs the study.")
    try:
        place = _head(file)["place"]
        return Rater(study, key, place)
    except (ValueError, TypeError, LookupError) as error:
        raise ValueError(
            f"{file.name} does not begin as a rater's answers do; take another name, or tell who runs the study."
        ) from error


def _head(file: Path) -> dict:
    with open(file, encoding="utf-8") as lines:
        return json.loads(lines.readline())


def _taken(study: Study, file: Path) -> int | None:
    """The place that is taken by whose answers these are; None where it is free, or the file is not to be counted."""
    try:
        content, head = file.read_bytes(), _head(file)
        place, joined = head["place"], datetime.fromisoformat(head["joined"])
        there = content.count(b"\n") > 1 or _now() - joined < PATIENCE
        return place if there and is_of(study, content) else None
    except (ValueError, TypeError, LookupError):
        return None


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


class Rater:
    """One rater of one study, as `join` gives them.

    Attributes:
        key: The name as it is kept.
        place: Whose questions these are, in `study.places`.
        questions: All that is asked of this rater, in order. Go back and forth in it freely.
    """

    def __init__(self, study: Study, key: str, place: int):
        self.study, self.key, self.place = study, key, place
        self.file = study.folder / "answers" / f"{key}.jsonl"
        self.questions = [study.questions[id] for id in study.places[place]]

    def answers(self) -> dict[str, Answer]:
        """What this rater thinks now, by question id."""
        return {answer.question: answer for answer in latest(read_file(self.file, self.study, Skipped()))}

    def upcoming(self, count: int = 1) -> list[Question]:
        """The next questions without an answer, `count` at most: the first to be shown, the others to be preloaded."""
        answered = self.answers()
        return [question for question in self.questions if question.id not in answered][:count]

    def progress(self) -> Progress:
        """How far this rater is."""
        return Progress(done=len(self.answers()), total=len(self.questions))

    def record(
        self, answer_id: str, question_id: str, value: Value, seconds: float | None = None, waited: float = 0.0
    ) -> bool:
        """Keep an answer, on the disk before this returns; False if one of that id is kept already.

        To change an answer, answer again under a new id. The one given last counts, whenever it comes.

        Args:
            answer_id: Made by the client for this answer, such as a UUID, and sent again if it must send again.
            question_id: One of this rater's questions.
            value: See `Answer.value`.
            seconds: How long the rater looked.
            waited: Seconds since the answer was given, as the client says: from 0 to 30 days; what is beyond is taken
                as the nearest of these.

        Raises:
            ValueError: the question is not this rater's, or the value or an id is not one.
        """
        question = next((question for question in self.questions if question.id == question_id), None)
        if question is None:
            raise ValueError(f"question {question_id!r} is not asked of {self.key}.")
        check_id(answer_id)
        check(self.study, question, value)
        with lock(self.study):
            before = read_file(self.file, self.study, Skipped())
            if any(answer.id == answer_id for answer in before):
                return False
            now = datetime.now(UTC)
            wait = timedelta(seconds=min(waited, LONGEST_WAIT) if waited > 0 else 0)
            others = [given(answer) for answer in before if answer.question == question_id]
            ahead = [time for time in others if time > now]  # of a clock that was; then the order of arrival counts
            answer = Answer(
                id=answer_id,
                question=question_id,
                rater=self.key,
                value=value,
                time=max([now - wait, *ahead]).isoformat(timespec="milliseconds"),
                seconds=seconds,
            )
            append(self.file, answer)
        return True
