"""The design of a study: which pictures are shown together, on which sides, in which order and to whom.

Everything is a pure function of what there is to show and a random generator, and is stored, so that nobody ever has
to draw it again. Sides are balanced: each system stands as often at one place as at another. No files. numpy only.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from byteedit.evaluation.human.studies import DAMAGED, Kind, Question

__all__ = ["Shown", "deal", "draft", "number", "sides", "spoil"]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A case with its pictures, named as they lie in the study's folder."""

    case: str
    task: str
    prompt: str
    image: str | None
    mask: str | None
    pictures: dict[str, str]
    """Each system's."""


def draft(shown: Sequence[Shown], systems: Sequence[str], kind: Kind, rng: Generator) -> list[Question]:
    """Every question that a study of this kind asks, without ids: one after the other for each group and task."""
    first, *others = systems
    groups = {
        "gsb": [(first, other) for other in others],
        "scores": [(system,) for system in systems],
        "best-worst": [tuple(systems)],
    }[kind]
    tasks = dict.fromkeys(one.task for one in shown)
    return [
        _ask(one, [group[i] for i in order])
        for group in groups
        for task in tasks
        for one, order in zip([one for one in shown if one.task == task], sides(len(group), rng), strict=False)
    ]


def _ask(one: Shown, systems: Sequence[str]) -> Question:
    return Question(
        id="",
        case=one.case,
        task=one.task,
        prompt=one.prompt,
        image=one.image,
        mask=one.mask,
        systems=tuple(systems),
        pictures=tuple(one.pictures[system] for system in systems),
    )


def sides(count: int, rng: Generator) -> Iterator[list[int]]:
    """Orders of `count` things without end; in every `count` of them each stands once at each place."""
    while True:
        order = rng.permutation(count)
        for shift in rng.permutation(count):
            yield np.roll(order, shift).tolist()


def spoil(question: Question, position: int, picture: str) -> Question:
    """The question as an attention check, with a spoilt `picture` at `position`, from 1."""
    at = slice(position - 1, position)
    systems, pictures = list(question.systems), list(question.pictures)
    systems[at], pictures[at] = [DAMAGED], [picture]
    return replace(question, systems=tuple(systems), pictures=tuple(pictures), damaged=position)


def number(questions: Sequence[Question], rng: Generator) -> list[Question]:
    """The questions with ids in random order, so that an id tells nothing."""
    digits = max(4, len(str(len(questions))))
    order = rng.permutation(len(questions))
    return [replace(questions[i], id=f"q{n:0{digits}}") for n, i in enumerate(order.tolist(), 1)]


def deal(questions: Sequence[Question], raters: int, votes: int, rng: Generator) -> tuple[tuple[str, ...], ...]:
    """The ids for each of `raters` in the order of asking; each question goes to `votes` of them, checks to all.

    A question goes to those with the fewest questions, of these to those with the fewest of its case, and of these to
    those with the fewest of its kind (task and systems); what is left open is random. So loads differ by one question
    at most, everyone gets a fair share of each kind, and with as many raters as a case has questions times `votes`
    nobody sees a case twice: the picture that all pairs of a case share would be known by coming again.
    """
    checks = [question for question in questions if question.damaged is not None]
    others = [question for question in questions if question.damaged is None]
    hands: list[list[str]] = [[] for _ in range(raters)]
    held = [Counter() for _ in range(raters)]  # questions of each case and of each kind
    for question in sorted(others, key=lambda question: (question.task, question.case)):
        case, kind = question.case, (question.task, *sorted(question.systems))
        seen, alike = ([of[what] for of in held] for what in (case, kind))
        for place in np.lexsort((rng.random(raters), alike, seen, [len(hand) for hand in hands]))[:votes]:
            hands[place].append(question.id)
            held[place].update([case, kind])
    return tuple(_order(hand, [check.id for check in checks], rng) for hand in hands)


def _order(hand: list[str], checks: list[str], rng: Generator) -> tuple[str, ...]:
    """A hand in random order, with one check somewhere in each of as many equal parts as there are checks."""
    hand = rng.permutation(hand).tolist() if hand else []
    bounds = np.linspace(0, len(hand), len(checks) + 1).astype(int)
    at = [int(rng.integers(low, high + 1)) for low, high in pairwise(bounds)]
    for place, check in sorted(zip(at, rng.permutation(checks).tolist(), strict=True), reverse=True):
        hand.insert(place, check)
    return tuple(hand)
