"""Win rates of two systems: what decides, what is the same, and what a task does not have is left out."""

import numpy as np
import pytest

from byteedit.evaluation.comparison import Tally, compare, gains, outcome, verdict, win_rates, worth


def win_rate(apart, same=0.0):
    return compare(outcome(apart, same))["win_rate"]


def edit(structure=3.0, aesthetics=3.0, coherence=3.0, right=True) -> dict:
    marked = {"structure": structure, "aesthetics": aesthetics, "coherence": coherence, "right": right}
    return {"task": "editing"} | marked


def test_the_win_rate_is_the_papers():
    apart = [1, 1, 1, 0.1, -0.1, -1]
    assert win_rate(apart, 0.5).value == Tally(good=3, same=2, bad=1).win_rate == 5 / 8
    assert win_rate(apart).value == Tally(good=4, same=0, bad=2).win_rate
    assert win_rate([0.0, 0.0]).value == 0.5
    assert win_rate([0.5], 0.5).value == 1 and win_rate([-0.5], 0.5).value == 0  # what decides is more or as much
    figure = win_rate(np.random.default_rng(0).normal(0.2, 1, 100), 0.5)
    assert figure.low < figure.value < figure.high
    with pytest.raises(ValueError, match="no case was scored"):
        win_rate([])


def test_the_verdict_is_that_of_more_axes():
    assert verdict(edit(structure=5.0), edit(coherence=3.5)) == 0  # one axis each, however far
    assert verdict(edit(structure=5.0, right=False), edit(coherence=3.5)) == -1
    assert verdict(edit(structure=3.1), edit()) == 0  # so little decides nothing


def test_an_axis_is_the_mean_of_the_marks_that_a_task_has():
    assert worth(edit(structure=5.0)) == {"structure_aesthetics": 4, "coherence": 3, "alignment": 1}
    assert worth({"structure": 2.0, "coherence": 3.0, "no_object": False}) == {
        "structure_aesthetics": 2,
        "coherence": 3,
        "alignment": 0,
    }
    assert worth({"structure": 2.0}) == {"structure_aesthetics": 2}


def test_less_seam_is_the_mean_of_what_ours_lacks_beyond_the_true_contrast():
    """An edge of the true picture that theirs lacks, with less contrast than the true one, is no gain of theirs."""
    ours = [{"task": "erasing", "seam": seam, "seam_true": 10.0} for seam in (11.0, 12.0, 10.0)]
    theirs = [line | {"seam": seam} for line, seam in zip(ours, (14.0, 13.0, 2.0), strict=True)]
    figure = gains(ours, theirs)["erasing.seam_less"]
    assert (figure.value, figure.n) == (pytest.approx(4 / 3), 3) and figure.low < figure.value < figure.high
    assert gains(theirs, ours)["erasing.seam_less"].value == pytest.approx(-4 / 3)
    assert gains([edit()], [edit()]).keys() == {"editing.right_gained"}  # of no case is a seam known


def test_win_rates_by_task_and_axis():
    ours = [edit(structure=4.0), edit(coherence=3.01, right=True), {"task": "outpainting", "structure": 3.0}]
    theirs = [edit(structure=3.0), edit(coherence=3.0, right=False), {"task": "outpainting", "structure": 3.5}]
    found = win_rates(ours, theirs) | gains(ours, theirs)
    assert {name: figure.value for name, figure in found.items()} == {
        "editing.structure_aesthetics": 2 / 3,  # one better, one the same
        "editing.coherence": 0.5,  # both the same: they differ by less than decides
        "editing.alignment": 2 / 3,
        "editing.right_gained": 0.5,
        "outpainting.structure_aesthetics": 0,
    }
