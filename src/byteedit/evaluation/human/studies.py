"""A study: a folder that says what raters are shown and asked. Nothing of this changes once it is made.

`study.json` holds the settings and who is asked what, `questions.jsonl` the questions, `pictures/` what they show;
`answers/` is filled later. The kinds are those of ByteEdit (arXiv 2404.04860): Good/Same/Bad, marks from 1 to 5, best
and worst of four.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import byteedit
from byteedit.files import reading_ours

__all__ = ["DAMAGED", "KINDS", "Kind", "Question", "Study", "StudySettings", "open_study", "write_study"]

FORMAT = 1
Kind = Literal["gsb", "scores", "best-worst"]
AXES: dict[Kind, tuple[str, ...]] = {
    "gsb": ("overall",),
    "scores": ("coherence", "structure", "aesthetics"),
    "best-worst": ("overall",),
}
KINDS = tuple(AXES)
JOINT = " & "  # between the parts of a joint axis
DAMAGED = "damaged"
"""The name that a spoilt picture has in the place of its system's."""
PICTURE = re.compile(r"pictures/[0-9a-f]{20}\.png")


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """What is asked, and of how many."""

    kind: Kind
    """gsb: which of two is better, or are they the same? scores: how good is this one, from 1 to 5? best-worst: which
    of several is the best, and which the worst?"""

    axes: tuple[str, ...] = ()
    """What raters judge separately. Without, "coherence", "structure" and "aesthetics" for scores, else "overall",
    which is all that best-worst can ask. "aesthetics" is never asked of an erasure, nor as part of a joint axis: of
    "structure & aesthetics" an erasure is asked "structure"."""

    raters: int = 1
    """Raters that the questions are dealt out to. One who comes when all have come gets the questions of another."""

    votes: int = 1
    """Raters that each question goes to, at most `raters`. Agreement between raters needs 2 or more."""

    attention: int = 0
    """Attention checks: questions that every rater gets and in which one picture is spoilt on purpose."""

    seed: int = 0
    """Seed of the sides, of who is asked what in which order, and of the attention checks."""

    instructions: str = ""
    """What raters are told before they begin."""

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}; it must be one of {', '.join(KINDS)}.")
        if not 1 <= self.votes <= self.raters:
            raise ValueError(f"votes is {self.votes} with {self.raters} raters; it must be from 1 to the raters.")
        if self.attention < 0:
            raise ValueError(f"attention is {self.attention}; it must be 0 or more.")
        if len(set(self.axes)) < len(self.axes) or (self.axes and self.kind == "best-worst"):
            raise ValueError(f"axes are {list(self.axes)}; they must differ, and best-worst takes none.")

    @property
    def all_axes(self) -> tuple[str, ...]:
        """`axes`, or what is asked without."""
        return self.axes or AXES[self.kind]

    def asked_of(self, task: str) -> tuple[str, ...]:
        """The axes that a task's pictures are judged on, in order; as in the paper, no aesthetics of an erasure."""
        if task != "erasing":
            return self.all_axes
        parts = ([part for part in axis.split(JOINT) if part != "aesthetics"] for axis in self.all_axes)
        return tuple(dict.fromkeys(JOINT.join(kept) for kept in parts if kept))


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a rater is shown at once. Pictures are files, relative to the study's folder."""

    id: str
    """Says nothing about the systems."""

    case: str
    """The case's own id. A case has several questions where several pairs or single pictures are judged."""

    task: str
    """"editing", "erasing", "outpainting", or "" where nothing was edited."""

    prompt: str
    """What was asked for; "" for no words."""

    image: str | None
    """The picture before the edit."""

    mask: str | None
    """255 = generated."""

    systems: tuple[str, ...]
    """Who made the pictures, in the order in which they are shown, left to right. Raters must not see it."""

    pictures: tuple[str, ...]
    """The pictures in that order."""

    axes: tuple[str, ...] = ()
    """What is judged of them, in order. Studies made before this was kept say nothing."""

    damaged: int | None = None
    """The position, from 1, of the picture that was spoilt, which makes this an attention check."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study as `open_study` reads it."""

    folder: Path
    """Where it lies."""

    settings: StudySettings
    """What is asked, and of how many."""

    systems: dict[str, str]
    """The folder that each system's pictures came from, as it was given. gsb compares the first with each other."""

    left_out: dict[str, str]
    """Cases that could not be shown, and why."""

    places: tuple[tuple[str, ...], ...]
    """For each expected rater the ids of the questions, in order."""

    questions: dict[str, Question]
    """All questions by id."""

    @property
    def token(self) -> str:
        """What tells this study from all others."""
        return hashlib.sha256((self.folder / "study.json").read_bytes()).hexdigest()[:16]

    @property
    def remarks(self) -> list[str]:
        """What must be said of how it is asked, in sentences."""
        remarks, settings = [], self.settings
        if settings.kind == "gsb" and settings.attention == 1:
            remarks.append(
                "One attention check cannot tell who looks: always the same side passes it half of the time. Ask two."
            )
        enough = settings.votes * (len(self.systems) - 1)
        if settings.kind == "gsb" and settings.raters < enough:
            remarks.append(
                f"Raters see {next(iter(self.systems))} in several pairs of a case, and may know it by its coming "
                f"again; with --raters {enough} or more nobody does."
            )
        return remarks

    def axes(self, question: Question) -> tuple[str, ...]:
        """What is judged of a question's pictures; where the study does not say, joint axes as they stand."""
        if question.axes:
            return question.axes
        return tuple(a for a in self.settings.all_axes if (question.task, a) != ("erasing", "aesthetics"))


def open_study(folder: str | Path) -> Study:
    """The study in a folder.

    Raises:
        ValueError: there is none, it has a format that this version does not know, a file of it is cut off or holds
            something else, or it names pictures elsewhere.
    """
    folder = Path(folder)
    if not (folder / "study.json").is_file():
        raise ValueError(f"{folder} is no study: it has no study.json. Make one with `byteedit study create`.")
    with reading_ours(folder / "study.json"):
        head = json.loads((folder / "study.json").read_text(encoding="utf-8"))
        known = head["format"]
    if known != FORMAT:
        raise ValueError(f"{folder} has the format {known}; this version of byteedit reads {FORMAT}.")
    with reading_ours(folder / "questions.jsonl"):
        lines = (folder / "questions.jsonl").read_text(encoding="utf-8").strip().split("\n")
        questions = {question.id: question for question in (_question(json.loads(line)) for line in lines)}
        _check_pictures(folder, questions.values())
    with reading_ours(folder / "study.json"):
        return Study(
            folder=folder,
            settings=StudySettings(**head["settings"] | {"axes": tuple(head["settings"]["axes"])}),
            systems=dict(head["systems"].items()),
            left_out=dict(head["left_out"].items()),
            places=tuple(tuple(questions[name].id for name in place) for place in head["places"]),
            questions=questions,
        )


def _check_pictures(folder: Path, questions: Iterable[Question]) -> None:
    for question in questions:
        named = [name for name in (*question.pictures, question.image, question.mask) if name is not None]
        if strange := [name for name in named if not PICTURE.fullmatch(name)]:
            raise ValueError(f"{folder}: question {question.id} shows {strange[0]}, which is none of its pictures.")


def _question(row: dict) -> Question:
    return Question(**row | {name: tuple(row.get(name, ())) for name in ("systems", "pictures", "axes")})


def write_study(study: Study, created: str) -> None:
    """Write `study.json` and `questions.jsonl`; the pictures must be there. `created` is the time in ISO 8601."""
    head = {
        "format": FORMAT,
        "byteedit": byteedit.__version__,
        "created": created,
        **{name: value for name, value in asdict(study).items() if name not in ("folder", "questions")},
    }
    lines = [json.dumps(asdict(question), ensure_ascii=False) for question in study.questions.values()]
    (study.folder / "questions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (study.folder / "study.json").write_text(json.dumps(head, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
