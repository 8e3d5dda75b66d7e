"""Who is asked what: questions are dealt out evenly, a case once to a rater, in an order of their own."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from byteedit.evaluation.human.planning import deal
from byteedit.evaluation.human.studies import Question


def question(n, task="editing", systems=("ours", "poor"), damaged=None):
    pictures = (f"pictures/{n:020x}.png",) * 2
    return Question(
        id=f"q{n}", case=f"{n}", task=task, prompt="", image=None, mask=None,
        systems=systems, pictures=pictures, damaged=damaged,
    )  # fmt: skip


@pytest.mark.parametrize(("raters", "votes"), [(1, 1), (4, 1), (5, 2), (3, 3), (7, 4)])
def test_questions_are_dealt_out_evenly(raters, votes):
    questions = [question(n, ("editing", "erasing")[n % 2]) for n in range(46)]
    checks = [question(n, damaged=1) for n in (90, 91, 92)]
    hands = deal([*questions, *checks], raters, votes, np.random.default_rng(1))
    assert Counter(id for hand in hands for id in hand) == (
        dict.fromkeys([one.id for one in questions], votes) | dict.fromkeys(["q90", "q91", "q92"], raters)
    )
    assert all(len(set(hand)) == len(hand) for hand in hands)
    loads = [len(hand) for hand in hands]
    assert max(loads) - min(loads) <= 1
    edits = [sum(id in {one.id for one in questions[::2]} for id in hand) for hand in hands]
    assert max(edits) - min(edits) <= 2


@pytest.mark.parametrize(("raters", "votes", "others"), [(2, 1, 2), (4, 1, 2), (6, 3, 2), (7, 2, 3)])
def test_a_case_comes_once_to_a_rater_where_there_are_raters_enough(raters, votes, others):
    """A picture that comes again is that of the system which all pairs share."""
    pairs = [("ours", name) for name in ("good", "fair", "poor")[:others]]
    questions = [replace(question(n, systems=pairs[n % others]), case=f"{n // others}") for n in range(20 * others)]
    known = {one.id: one for one in questions}
    hands = deal(questions, raters, votes, np.random.default_rng(1))
    assert all(len({known[id].case for id in hand}) == len(hand) for hand in hands)
    assert Counter(id for hand in hands for id in hand) == dict.fromkeys(known, votes)
    assert max(map(len, hands)) - min(map(len, hands)) <= 1
    for pair in pairs:
        shares = [sum(known[id].systems == pair for id in hand) for hand in hands]
        assert max(shares) - min(shares) <= 3


def test_each_rater_is_asked_in_an_order_of_their_own():
    questions = [question(n) for n in range(8)]
    ann, bob = deal(questions, 2, 2, np.random.default_rng(0))
    assert sorted(ann) == sorted(bob) == [one.id for one in questions]
    assert len({ann, bob, tuple(sorted(ann))}) == 3


def test_checks_are_spread_over_a_raters_questions():
    questions = [question(n) for n in range(90)] + [question(n, damaged=1) for n in (97, 98, 99)]
    [hand] = deal(questions, 1, 1, np.random.default_rng(3))
    places = [n for n, id in enumerate(hand) if id in ("q97", "q98", "q99")]
    assert [place // 31 for place in places] == [0, 1, 2]
    assert list(hand) != sorted(hand)
