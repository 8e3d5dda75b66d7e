"""The gold judge's marks: full for the truth, lower for each fault on the fault's own axis, blind to the rest."""

import io
import re
import runpy
from dataclasses import astuple, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from byteedit.evaluation import judge, marks
from byteedit.evaluation.marks import HALF, Marks, quality
from byteedit.evaluation.picturebench import cases
from byteedit.masks import dilate
from byteedit.picturebook import Thing

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "gold-judge.md"
TRIALS = runpy.run_path(str(ROOT / "examples" / "picturebook" / "trials.py"))
WRONG, true, _pasted = (TRIALS[name] for name in ("WRONG", "true", "_pasted"))
EDITS = cases("editing", "validation")[:3:2]
ERASURES = cases("erasing", "validation")[:2]
BARE, WISHED = cases("outpainting", "validation")[:2]  # without and with a prompt
GENERATED = (*EDITS, WISHED)


def noise(case, levels):
    rng = np.random.default_rng(case.seed)
    return _pasted(case, case.picture + rng.normal(0, levels, case.picture.shape))


def speckle(case, share):
    rng = np.random.default_rng(case.seed)
    hit = rng.random(case.mask.shape) < share
    return _pasted(case, np.where(hit[..., None], rng.integers(0, 256, case.picture.shape), case.picture))


def blur(case, pixels):
    return _pasted(case, np.array(Image.fromarray(case.picture).filter(ImageFilter.GaussianBlur(pixels))))


def jpeg(case, loss):
    buffer = io.BytesIO()
    Image.fromarray(case.picture).save(buffer, "JPEG", quality=100 - loss)
    return _pasted(case, np.array(Image.open(buffer)))


def colour_shift(case, levels):
    return _pasted(case, case.picture + np.array((levels, 0, -levels)))


def seam(case, levels):
    known = np.where(case.mask > 127, 0, 255).astype(np.uint8)
    return _pasted(case, case.picture + levels * (dilate(known, 1) > 0)[..., None])


def moved(case, pixels):
    return _pasted(case, np.roll(case.picture, (pixels, pixels), (0, 1)))


FAULTS = {
    noise: ("aesthetics", 4, 12),
    speckle: ("aesthetics", 0.01, 0.08),
    blur: ("aesthetics", 0.7, 1.5),
    jpeg: ("aesthetics", 25, 80),
    colour_shift: ("coherence", 8, 24),
    seam: ("coherence", 16, 64),
    moved: ("coherence", 2, 6),
}


@cache
def marked(damage, strength, of=GENERATED) -> Marks:
    """The mean marks of some cases' true pictures under a damage."""
    given = [astuple(marks.marks(case, damage(case, strength))) for case in of]
    return Marks(**dict(zip(("structure", "aesthetics", "coherence"), np.mean(given, axis=0).tolist(), strict=True)))


@pytest.mark.parametrize("case", [*EDITS, *ERASURES, BARE, WISHED], ids=lambda case: case.id)
def test_the_truth_gets_full_marks(case):
    given = marks.marks(case, case.picture)
    assert min(mark for mark in astuple(given) if mark is not None) >= 4.7
    assert (given.aesthetics is None) == (case.task == "erasing")


@pytest.mark.parametrize(("damage", "fault"), FAULTS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_fault_lowers_its_own_axis_most_and_more_where_it_is_worse(damage, fault):
    axis, little, much = fault
    slight, strong = vars(marked(damage, little)), vars(marked(damage, much))
    others = [name for name in strong if name != axis]
    assert 4.9 > slight[axis] > strong[axis] + 0.5
    assert strong[axis] < 3.5
    assert all(strong[other] > strong[axis] + 0.3 for other in others)
    assert all(slight[other] >= strong[other] - 0.05 for other in others)


@pytest.mark.parametrize("damage", [noise, colour_shift, seam], ids=lambda damage: damage.__name__)
def test_erasing_is_marked_for_coherence_too(damage):
    _, little, much = FAULTS[damage]
    none, slight, strong = (
        np.mean([marks.marks(case, damage(case, strength)).coherence for case in ERASURES])
        for strength in (0, little, much)
    )
    assert none > slight > strong


def test_a_blob_and_the_wrong_thing_have_no_structure():
    for case in (EDITS[1], WISHED):
        for trial in ("disc", "flooded", "wrong_colour", "wrong_class"):
            assert marks.marks(case, WRONG[trial](case)).structure <= 2, (case.id, trial)


def test_an_edit_that_changes_nothing_has_no_structure_but_no_seam():
    for case in EDITS:
        given = marks.marks(case, case.background)
        assert given.structure == 1
        assert given.aesthetics < 4
        assert given.coherence == 5


def test_a_thing_that_was_not_erased_is_worst():
    for case in ERASURES:
        left = marks.marks(case, case.source.render())
        assert left.structure < 1.1
        assert quality(left) < quality(marks.marks(case, blur(case, 3)))


def test_a_thing_that_nobody_asked_for_spoils_an_extension():
    stray = Thing(kind="car", colour="red", size="medium", x=84, y=40)
    given = marks.marks(BARE, replace(BARE.truth, things=(*BARE.truth.things, stray)).render())
    assert given.structure < 1.1
    assert given.aesthetics > 4.7  # it is a fine car


@pytest.mark.parametrize("case", [EDITS[0], ERASURES[0]], ids=lambda case: case.id)
def test_what_lies_outside_the_mask_does_not_count(case):
    image = noise(case, 10)
    elsewhere = np.random.default_rng(1).integers(0, 256, image.shape, dtype=np.uint8)
    assert marks.marks(case, np.where(case.mask[..., None] > 127, image, elsewhere)) == marks.marks(case, image)


def test_quality_is_the_mean_over_the_axes_that_there_are():
    assert quality(Marks(structure=5, aesthetics=3, coherence=1)) == 3
    assert quality(Marks(structure=5, aesthetics=None, coherence=2)) == 3.5


def test_the_best_and_the_worst_of_four_are_told():
    case = EDITS[0]
    four = [blur(case, 1.5), true(case), noise(case, 8), WRONG["flooded"](case)]
    worth = [quality(marks.marks(case, image)) for image in four]
    assert (np.argmax(worth), np.argmin(worth)) == (1, 3) and worth[1] - worth[3] >= marks.TIE
    assert worth[1] - quality(marks.marks(case, noise(case, 1))) < marks.TIE


def test_an_output_of_another_size_is_refused_in_words():
    with pytest.raises(ValueError, match=r"editing-000: the output is \(64, 64, 3\) uint8, expected \(128, 128, 3\)"):
        marks.marks(EDITS[0], np.zeros((64, 64, 3), np.uint8))


def test_the_median_of_neighbours_takes_specks_away_and_keeps_edges():
    image = np.zeros((6, 8, 3), np.uint8)
    image[:, 4:] = 200
    speck = image.copy()
    speck[2, 1] = 255
    assert np.array_equal(marks._smooth(image), image)
    assert np.array_equal(marks._smooth(speck), image)


def test_steepness_halves_when_an_edge_is_twice_as_wide():
    sharp, soft = np.zeros((4, 12)), np.zeros((4, 12))
    sharp[:, 6:] = soft[:, 7:] = 100
    soft[:, 6] = 50
    assert marks._steepness(marks._slope(sharp)) == pytest.approx(100)
    assert marks._steepness(marks._slope(soft)) == pytest.approx(50)


def test_only_colours_that_neither_page_nor_book_has_are_off_the_palette():
    clean = np.full((4, 4, 3), 100, np.uint8)
    assert marks._off_palette(np.array([[100, 100, 100], [216, 46, 48]], np.uint8), clean) == 0  # the page's, and red
    grey = marks._off_palette(np.array([[100, 100, 100], [140, 100, 100]], np.uint8), clean)
    assert grey == pytest.approx((0 + 5 * marks.BIN - marks.BIN) / 2)


def constants(module) -> dict[str, float]:
    """The numbers that a module's rules use, by name."""
    return {name: value for name, value in vars(module).items() if name.isupper() and isinstance(value, int | float)}


def test_the_published_rules_state_the_constants_of_the_code():
    stated = {name: float(value) for name, value in re.findall(r"`([A-Z_]+) = (-?[\d.]+)`", PAGE.read_text())}
    assert stated == constants(judge) | constants(marks)
    halves = {name: float(value) for name, value in re.findall(r'`HALF\["(\w+)"\] = ([\d.]+)`', PAGE.read_text())}
    assert halves == HALF
    low, high, step = judge.COARSE_SIDES[0], judge.COARSE_SIDES[-1], judge.COARSE_SIDES.step
    assert f"{low} to {high} pixels in steps of {step}" in PAGE.read_text()
