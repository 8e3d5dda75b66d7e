"""Figures of human studies: the paper's own counts, slow twins, and Krippendorff's worked example."""

import itertools
import json
import math
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest

from byteedit.evaluation import figures
from byteedit.evaluation.comparison import Tally, compare
from byteedit.evaluation.figures import crossed, mean
from byteedit.evaluation.human.agreement import ordinal_alpha, z_scores

# ByteEdit (arXiv 2404.04860): votes for and against Adobe, and the superiority that is reported for them, in percent.
PAPER = {
    "outpainting": (Tally(good=5413, same=3034, bad=4478), 105),
    "editing": (Tally(good=5605, same=3295, bad=3448), 163),
    "erasing": (Tally(good=4766, same=2679, bad=4355), 112),
}


@pytest.mark.parametrize(
    ("task", "superiority", "good_over_bad"), [("outpainting", 112, 121), ("editing", 132, 163), ("erasing", 106, 109)]
)
def test_the_papers_counts_give_what_the_formulas_say_and_not_what_it_reports(task, superiority, good_over_bad):
    """Of the reported 105, 163 and 112 % only 163 follows from the counts, as G/B and not as (G+S)/(S+B)."""
    counts, reported = PAPER[task]
    assert round(100 * counts.superiority) == superiority
    assert round(100 * counts.good_over_bad) == good_over_bad
    assert superiority != reported
    assert (good_over_bad == reported) is (task == "editing")
    assert counts.good + counts.same + counts.bad == {"outpainting": 12925, "editing": 12348, "erasing": 11800}[task]


def test_the_papers_counts_by_the_other_formulas():
    editing, erasing = PAPER["editing"][0], PAPER["erasing"][0]
    assert editing.win_rate == pytest.approx(8900 / (8900 + 6743))
    assert editing.preferred.value == pytest.approx(5605 / 9053)
    assert (editing.preferred.low, editing.preferred.high) == pytest.approx((0.6091, 0.6291), abs=1e-4)
    assert editing.p < 1e-100
    assert erasing.p == pytest.approx(1.7e-5, rel=0.1)


def test_wilson_and_the_sign_test_are_scipys():
    from scipy.stats import binomtest

    for good, bad in [(0, 7), (3, 4), (9, 1), (40, 60)]:
        counts = Tally(good=good, same=5, bad=bad)
        theirs = binomtest(good, good + bad).proportion_ci(method="wilson")
        assert (counts.preferred.low, counts.preferred.high) == pytest.approx((theirs.low, theirs.high), abs=1e-6)
        slow = sum(
            math.comb(good + bad, k) for k in range(good + bad + 1) if abs(2 * k - good - bad) >= abs(good - bad)
        )
        assert counts.p == pytest.approx(slow / 2 ** (good + bad))


def test_a_draw_is_1_and_a_half_and_0():
    counts = Tally(good=7, same=3, bad=7)
    assert (counts.superiority, counts.good_over_bad, counts.win_rate, counts.p) == (1, 1, 0.5, 1)
    assert compare([1, 0, -1])["net"].value == 0


def test_what_has_nothing_to_divide_by_is_said():
    assert Tally(good=3, same=0, bad=0).superiority == math.inf
    assert Tally(good=3, same=1, bad=0).superiority == 4
    assert Tally(good=3, same=1, bad=0).good_over_bad == math.inf
    same = Tally(good=0, same=2, bad=0)
    assert math.isnan(same.good_over_bad) and same.preferred is None and (same.superiority, same.p) == (1, 1)
    for counts in ({"good": 0, "same": 0, "bad": 0}, {"good": -1, "same": 2, "bad": 0}):
        with pytest.raises(ValueError, match="counts must be 0 or more"):
            Tally(**counts)


def votes(images=40, seed=0):
    rng = np.random.default_rng(seed)
    return rng.multinomial(5, (0.45, 0.25, 0.3), images).T  # (3, N): good, same, bad


def cast(good, same, bad):
    """The outcome of each vote, and the number of its image."""
    outcomes = [np.repeat((1, 0, -1), counts) for counts in zip(good, same, bad, strict=True)]
    return np.concatenate(outcomes), np.repeat(np.arange(len(outcomes)), list(map(len, outcomes)))


def test_a_comparison_is_the_tally_of_its_votes_with_intervals_over_images():
    good, same, bad = votes()
    found = compare(*cast(good, same, bad))
    counts = Tally(good=good.sum(), same=same.sum(), bad=bad.sum())
    values = {name: getattr(counts, name) for name in ("superiority", "good_over_bad", "win_rate")}
    for name, value in (values | {"net": (counts.good - counts.bad) / 200}).items():
        assert found[name].value == pytest.approx(value)
        assert found[name].low < found[name].value < found[name].high and found[name].n == 40
    slow = [(int(g > b), int(g == b), int(g < b)) for g, b in zip(good, bad, strict=True)]
    images = Tally(**dict(zip(("good", "same", "bad"), np.sum(slow, axis=0).tolist(), strict=True)))
    assert (found["images_good"], found["images_same"], found["images_bad"]) == (images.good, images.same, images.bad)
    assert (found["preferred"], found["p"]) == (images.preferred, images.p)


def test_the_interval_of_superiority_is_that_of_a_slow_bootstrap():
    good, same, bad = votes()
    rng, drawn = np.random.default_rng(1), []
    for _ in range(4000):
        i = rng.integers(40, size=40)
        drawn.append((good[i].sum() + same[i].sum()) / (same[i].sum() + bad[i].sum()))
    found = compare(*cast(good, same, bad))["superiority"]
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), rel=0.03)


def test_votes_on_one_image_are_not_taken_for_independent():
    one = compare(*cast(*votes(20)))["win_rate"]
    repeated = compare(*cast(*(10 * votes(20))))["win_rate"]  # the same images, each vote ten times
    assert (repeated.low, repeated.high) == pytest.approx((one.low, one.high))
    more = compare(*cast(*np.tile(votes(20), 10)))["win_rate"]
    assert more.high - more.low < 0.5 * (one.high - one.low)


def crossed_votes(raters=7, cases=30, seed=0):
    """A value of each vote, its case and its rater; two raters see each case, and raters differ."""
    rng = np.random.default_rng(seed)
    case = np.repeat(np.arange(cases), 2)
    rater = np.concatenate([rng.permutation(raters)[:2] for _ in range(cases)])
    return rng.normal(0, 1, raters)[rater] + rng.normal(0, 1, cases)[case], case, rater


def test_an_interval_over_cases_and_raters_is_that_of_a_slow_bootstrap():
    values, case, rater = crossed_votes()
    rng, drawn = np.random.default_rng(1), []
    for _ in range(2000):
        cases, raters = Counter(rng.integers(30, size=30).tolist()), Counter(rng.integers(7, size=7).tolist())
        weights = [cases[c] * raters[r] for c, r in zip(case.tolist(), rater.tolist(), strict=True)]
        drawn.append(np.dot(weights, values) / sum(weights))
    found = crossed(values, np.ones(60), case, rater)
    assert found.value == pytest.approx(values.mean()) and found.n == 30
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.06)


def test_raters_who_differ_make_an_interval_as_wide_as_their_means_do():
    marks = np.array([1.0, 2, 3, 4, 5, 3])
    found = crossed(np.tile(marks, 200), np.ones(1200), np.repeat(np.arange(200), 6), np.tile(np.arange(6), 200))
    by_rater = mean(marks)  # which all images repeat
    assert (found.low, found.high) == pytest.approx((by_rater.low, by_rater.high), abs=0.15)
    assert mean(np.tile(marks, 200)).high - 3 < 0.1 < 0.9 < found.high - 3


def test_one_rater_leaves_an_interval_over_cases():
    values = np.random.default_rng(0).random(40)
    assert crossed(values, np.ones(40), range(40), ["ann"] * 40) == mean(values)


def test_how_many_votes_are_weighed_at_once_changes_nothing(monkeypatch):
    values, case, rater = crossed_votes()
    whole = asdict(crossed(values, np.ones(60), case, rater))
    monkeypatch.setattr(figures, "BLOCK", 999)
    assert asdict(crossed(values, np.ones(60), case, rater)) == pytest.approx(whole)


def test_what_two_raters_make_together_weighs_as_often_as_both_are_drawn():
    """Of three raters in three draws there are all pairs, alike, or two raters and their one pair; or none at all."""
    pairs = [("ann", "bob"), ("ann", "cem"), ("bob", "cem")]
    found = crossed([1, 0, 0], np.ones(3), ["boat"] * 3, pairs)
    assert (found.value, found.low, found.high, found.n) == (pytest.approx(1 / 3), 0, 1, 1)
    agreed = crossed([1, 1, 1], np.ones(3), ["boat"] * 3, pairs)
    assert (agreed.low, agreed.high) == (1, 1)


def test_the_intervals_of_a_comparison_are_those_of_its_counts_and_wider_where_raters_differ():
    good, same, bad = votes()
    outcomes, images = cast(good, same, bad)
    alike = compare(outcomes, images)
    assert alike["win_rate"] == crossed(good + same, good + 2 * same + bad, range(40), ["ann"] * 40)
    assert alike["net"] == crossed(good - bad, good + same + bad, range(40), ["ann"] * 40)
    fans = compare(outcomes, images, np.argsort(np.argsort(-outcomes)) // 50)  # four, of one mind each
    assert fans["p"] == alike["p"]
    fans, alike = fans["win_rate"], alike["win_rate"]
    assert fans.high - fans.low > 2 * (alike.high - alike.low)


def test_a_comparison_in_which_nothing_was_worse_has_no_upper_end():
    found = compare(*cast([3, 3], [0, 0], [0, 0]))
    assert found["superiority"].value == found["good_over_bad"].value == math.inf
    assert found["win_rate"].value == found["win_rate"].high == 1
    undecided = compare(*cast([0, 0], [2, 3], [0, 0]))
    assert undecided["good_over_bad"] is None and undecided["preferred"] is None and undecided["superiority"].value == 1


# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C and D: four observers, twelve units.
NONE = None
EXAMPLE = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NONE, NONE, NONE],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NONE, 3],
        [NONE, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NONE],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NONE],
    ],
    dtype=object,
)


def units(ratings):
    """Columns without what is missing."""
    return [[value for value in column if value is not None] for column in ratings.T]


def slow_alpha(ratings):
    """By pairs: mean squared distance within units against that among all values that can be paired."""
    pairable = [values for values in units(ratings) if len(values) > 1]
    pool = [value for values in pairable for value in values]

    def distance(a, b):
        low, high = min(a, b), max(a, b)
        return (sum(low <= value <= high for value in pool) - (pool.count(a) + pool.count(b)) / 2) ** 2

    within = sum(
        sum(distance(a, b) for a, b in itertools.permutations(values, 2)) / (len(values) - 1) for values in pairable
    )
    among = sum(distance(a, b) for a, b in itertools.permutations(pool, 2)) / (len(pool) - 1)
    return 1 - within / among


def test_alpha_of_krippendorffs_worked_example():
    """Published with three decimals: 0.815 for the ordinal metric."""
    assert ordinal_alpha(units(EXAMPLE)) == pytest.approx(0.815, abs=5e-4)
    assert ordinal_alpha(units(EXAMPLE)) == pytest.approx(slow_alpha(EXAMPLE), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_alpha_is_the_slow_one_with_missing_values(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, 6, 15)
    ratings = np.clip(truth + rng.integers(-1, 2, (4, 15)), 1, 5).astype(object)
    ratings[rng.random((4, 15)) < 0.3] = None
    assert ordinal_alpha(units(ratings)) == pytest.approx(slow_alpha(ratings), abs=1e-12)


def test_alpha_is_1_where_all_agree_and_0_by_chance_and_none_where_nothing_is_to_agree_about():
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 6, 300)
    assert ordinal_alpha(np.stack([truth, truth], 1).tolist()) == 1
    assert ordinal_alpha(rng.integers(1, 6, (3000, 2)).tolist()) == pytest.approx(0, abs=0.05)
    assert ordinal_alpha(np.stack([truth, 6 - truth], 1).tolist()) < -0.8
    assert ordinal_alpha([[1, 1], [1, 1]]) is None
    assert ordinal_alpha([[1], [2], []]) is None


def test_z_scores_take_out_how_each_rater_uses_the_scale():
    truth = np.array([1.0, 2, 3, 4, 5])
    found = z_scores([*truth, *(3 + truth / 5), 4, 4], ["strict"] * 5 + ["mild"] * 5 + ["bored"] * 2)
    assert found[:5] == pytest.approx(found[5:10])
    assert found[:5] == pytest.approx((truth - 3) / math.sqrt(2))
    assert found[10:].tolist() == [0, 0]


def test_figures_of_a_comparison_are_numbers_of_python():
    found = compare(*cast(*votes()))
    assert json.dumps(found, default=asdict)  # which takes dataclasses, and no numbers of numpy
