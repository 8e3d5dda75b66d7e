"""The gold judge says right on true pictures and wrong on wrong ones; its search agrees with a slow, obvious one."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from byteedit.evaluation.judge import Page, Verdict, _half, edit_right, explain, judge, object_found, templates
from byteedit.evaluation.picturebench import cases
from byteedit.picturebook import COLOURS, KINDS
from byteedit.picturebook.sprites import sprite

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "examples" / "picturebook"
TRIALS = runpy.run_path(str(SCRIPTS / "trials.py"))
TRUE, WRONG = TRIALS["TRUE"], TRIALS["WRONG"]
EDITS = cases("editing")[:240:22] + cases("editing")[9:240:60]  # kinds of all sorts, seen and held out of training


@pytest.mark.parametrize("trial", TRUE.values(), ids=TRUE)
def test_true_pictures_are_right_even_a_little_damaged(trial):
    assert [case.id for case in EDITS if not edit_right(case, trial(case))] == []


@pytest.mark.parametrize("trial", WRONG.values(), ids=WRONG)
def test_wrong_pictures_are_wrong(trial):
    assert [case.id for case in EDITS if edit_right(case, trial(case))] == []


@pytest.fixture
def script(monkeypatch):
    """try_judge.py as a module."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import try_judge

    return try_judge


def test_every_trial_is_filed_as_the_results_have_it(script, monkeypatch):
    filed = {}
    monkeypatch.setattr(script, "edit_right", lambda case, image: np.array_equal(image, case.picture))  # at once
    monkeypatch.setattr(script, "object_found", lambda case, image: not np.array_equal(image, case.picture))
    monkeypatch.setattr("results.record", lambda key, value, low, high, n, command: filed.update({key: (value, n)}))
    monkeypatch.setattr(script, "COUNT", 2)
    script.main(script.Settings(limit=2, record=True))
    results = json.loads((ROOT / "docs" / "results.json").read_text())
    assert filed.keys() == {key for key in results if key.startswith("picturebench.judge.")}
    assert filed["picturebench.judge.true_right"] == (1, 2) and filed["picturebench.judge.empty_right"] == (0, 2)
    assert filed["picturebench.judge.extended_right"] == (1, 1)  # one of the two has a prompt
    assert filed["picturebench.judge.unerased_found"] == (1, 2) and filed["picturebench.judge.erased_found"] == (0, 2)
    filed.clear()
    script.main(script.Settings(limit=2))
    assert not filed


def test_some_cases_alone_are_not_recorded(script):
    with pytest.raises(ValueError, match="limit is 2; all cases"):
        script.Settings(limit=2, record=True)


def test_the_verdict_names_the_drawing_to_the_pixel():
    for case in EDITS[:8]:
        seen, wanted = judge(case, case.picture), case.target
        assert (seen.kind, seen.colour, seen.side) == (wanted.kind, wanted.colour, wanted.side)
        assert (seen.x, seen.y) == (wanted.x, wanted.y)
        assert seen.explained > 0.999
        assert seen.strength > 0.5


def test_a_wrong_colour_is_a_thing_of_the_right_kind():
    case = EDITS[3]
    seen = judge(case, WRONG["wrong_colour"](case))
    assert seen.found
    assert seen.kind == case.target.kind
    assert seen.colour != case.target.colour


def test_erasing_things_are_found_until_they_are_gone():
    for case in cases("erasing")[:240:24]:
        assert object_found(case, case.source.render()), case.id
        assert not object_found(case, case.picture), case.id


def test_outpainting_the_named_thing_is_found_in_the_extension():
    for case in [case for case in cases("outpainting") if case.target][::15]:
        assert edit_right(case, case.picture), case.id
        assert not object_found(case, case.background), case.id


def test_the_coarse_gain_is_the_squared_error_that_a_drawing_takes_away():
    case = EDITS[0]
    page = Page(case.picture, case.background, case.mask)
    features, side = page._features(), 10
    part = slice(8, 8 + side), slice(8, 8 + side)
    inside = features[7, *part]
    share = np.where(inside > 0, inside, 1)
    change, known = features[:3, *part] / share, features[4:7, *part] / share
    drawn = sprite("car", "blue", side).transpose(2, 0, 1)
    painted = drawn[3] * (drawn[:3] - known)
    slow = (inside * change**2).sum() - (inside * (change - painted) ** 2).sum()
    column = list(KINDS).index("car") * len(COLOURS) + list(COLOURS).index("blue")
    fast = features[:, *part].ravel() @ templates(side)[:, column]
    assert fast == pytest.approx(slow, rel=1e-4)


def test_halving_is_the_mean_of_four_pixels():
    assert _half(np.arange(16.0).reshape(4, 4, 1))[..., 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]


def test_a_thing_must_beat_a_blob_by_a_margin():
    place = {"kind": "car", "colour": "red", "side": 28, "x": 0, "y": 0}
    assert Verdict(**place, explained=0.6, blob=0.5, strength=0.5).found
    assert not Verdict(**place, explained=0.6, blob=0.58, strength=0.5).found
    assert not Verdict(**place, explained=0.3, blob=0.0, strength=0.5).found
    assert not Verdict(**place, explained=0.6, blob=0.5, strength=0.1).found


def test_what_does_not_fit_together_is_refused_in_words():
    case = EDITS[0]
    with pytest.raises(ValueError, match="must not be empty"):
        explain(case.picture, case.background, np.zeros_like(case.mask))
    with pytest.raises(ValueError, match="must be of one size"):
        explain(case.picture[:64], case.background, case.mask)
