"""PictureBench stays the same for good, asks for what it says, and its scores and figures are what they claim."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from byteedit.evaluation import TASKS
from byteedit.evaluation.figures import mean, rate, ratio
from byteedit.evaluation.picturebench import COUNT, cases
from byteedit.evaluation.report.sheet import contact_sheet
from byteedit.evaluation.scores import border_contrast, psnr
from byteedit.evaluation.scores.picturebench import judged, summarise
from byteedit.evaluation.systems import answers
from byteedit.picturebook import BACKGROUNDS, PAGE, held_out, scene

EDITING, ERASING, OUTPAINTING = (cases(task) for task in TASKS)
PROMPTED = [case for case in OUTPAINTING if case.target]

# Whoever changes these changes what all earlier figures mean.
FINGERPRINTS = {
    "editing": "8d8d2caf4ae855ce5efa9524f63451d01fc951ff133d9f4699449b1156443745",
    "erasing": "19b4a21bebc03cbeb4213d590697a7b4764ba52d1439e95f7ab164c0446f1c24",
    "outpainting": "932b26134c4b31770d5f540faa707f384894e506b3f7785836a4a3ec94357eac",
}


def fingerprint(task: str) -> str:
    """SHA-256, in hexadecimal, over everything that a task's cases are made of, pixels of the rendering left out.

    (Rendering uses the processor's own sine and exponential, whose last bit differs between machines.)
    """
    digest = hashlib.sha256()
    for case in cases(task):
        fields = (case.id, case.seed, case.source, case.truth, case.target, case.box, case.prompt, case.held_out)
        digest.update(repr(fields).encode())
        digest.update(case.mask.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("task", TASKS)
def test_the_cases_are_the_same_for_good(task):
    assert fingerprint(task) == FINGERPRINTS[task]
    assert len({case.id for case in cases(task)}) == COUNT == 240
    assert len({case.seed for case in cases(task)}) == COUNT


def test_cases_come_from_the_test_split():
    known = {scene(seed, "test").background_seed for seed in range(10_000)}
    assert all(case.source.background_seed in known for case in EDITING)
    assert {case.source.background_seed for case in cases("editing", "validation")}.isdisjoint(known)


def test_edits_are_balanced_and_half_of_them_held_out():
    assert set(Counter(case.target.kind for case in EDITING).values()) == {20}
    assert set(Counter(case.target.colour for case in EDITING).values()) == {30}
    assert min(Counter(case.truth.background for case in EDITING).values()) >= 25
    assert sum(case.held_out for case in EDITING) == 120
    assert sum(case.held_out for case in PROMPTED) == 60
    for case in (*EDITING, *PROMPTED):
        assert case.held_out == held_out(case.target.kind, case.target.colour, case.truth.background)
        assert case.truth.background in BACKGROUNDS


def test_half_of_the_prompts_name_the_size():
    sized = [case for case in EDITING if case.prompt == case.target.phrase]
    assert len(sized) == 120
    assert {case.prompt for case in EDITING if case not in sized} >= {"an orange apple", "a red balloon"}
    assert not any(case.prompt for case in ERASING)
    assert sum(case.prompt is None for case in OUTPAINTING) == 120


@pytest.mark.parametrize("case", [*EDITING[::24], *ERASING[::24], *PROMPTED[::12]], ids=lambda case: case.id)
def test_every_case_changes_something_and_only_inside_its_mask(case):
    before, after, inside = case.source.render(), case.picture, case.mask > 0
    changed = np.abs(before.astype(int) - after).max(-1)
    assert (changed[inside] > 25).sum() > 50
    assert not changed[~inside].any()
    assert set(np.unique(case.mask)) == {0, 255}


@pytest.mark.parametrize("case", EDITING[::10], ids=lambda case: case.id)
def test_an_edit_s_mask_covers_the_thing_and_no_other(case):
    page = (0, 0, PAGE, PAGE)
    assert case.mask[case.target.coverage(page) > 0].all()
    assert not any(case.mask[other.coverage(page) > 0].any() for other in case.source.things)
    assert np.array_equal(case.image, case.background)


def test_outpainting_extends_one_or_two_sides_back_to_the_page():
    for case in OUTPAINTING:
        left, top, right, bottom = case.box
        assert case.image.shape == (bottom - top, right - left, 3)
        added = [pixels for pixels in case.extension.values() if pixels]
        assert len(added) in (1, 2)
        assert all(24 <= pixels <= 48 for pixels in added)
        assert (case.mask == 0).sum() == (bottom - top) * (right - left)
        assert not case.mask[top:bottom, left:right].any()
        for thing in case.source.things:  # none is cut, none lies hidden
            assert not case.mask[thing.coverage((0, 0, PAGE, PAGE)) > 0].any()
    for case in PROMPTED:
        assert case.mask[case.target.coverage((0, 0, PAGE, PAGE)) > 0].all()
        assert case.target == case.truth.things[-1]


def test_unknown_tasks_are_refused():
    with pytest.raises(ValueError, match="editing, erasing, outpainting"):
        cases("inpainting")


def test_the_truth_scores_as_well_as_can_be():
    edit, erasure, extension = (judged(case, case.picture) for case in (EDITING[1], ERASING[1], OUTPAINTING[0]))
    assert edit["right"]
    assert edit["class"]
    assert edit["colour"]
    assert erasure["psnr"] == extension["psnr"] == 60
    assert erasure["no_object"]
    assert all(scored["seam"] == scored["seam_true"] for scored in (edit, erasure, extension))
    assert all(scored["quality"] == pytest.approx(5, abs=0.01) for scored in (edit, erasure, extension))
    assert edit["aesthetics"] == pytest.approx(5, abs=0.01) and "aesthetics" not in erasure
    assert edit["seen"] == f"{EDITING[1].target.colour} {EDITING[1].target.kind}"
    with pytest.raises(ValueError, match=r"expected \(128, 128, 3\)"):
        judged(EDITING[0], np.zeros((64, 64, 3), np.uint8))


def test_psnr_counts_only_what_is_inside_the_mask():
    truth, mask = np.full((8, 8, 3), 100, np.uint8), np.zeros((8, 8), np.uint8)
    mask[2:4, 2:4] = 255
    image = np.full_like(truth, 255)
    image[2:4, 2:4] = 110
    assert psnr(image, truth, mask) == pytest.approx(20 * np.log10(255 / 10))


def test_border_contrast_equals_the_mean_over_all_pairs():
    rng = np.random.default_rng(0)
    image, mask = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8), rng.integers(0, 2, (9, 7), dtype=np.uint8) * 255
    pairs = [((y, x), (y, x + 1)) for y in range(9) for x in range(6)]
    pairs += [((y, x), (y + 1, x)) for y in range(8) for x in range(7)]
    steps = [np.abs(image[p].astype(float) - image[q]).mean() for p, q in pairs if mask[p] != mask[q]]
    assert border_contrast(image, mask) == pytest.approx(np.mean(steps), rel=1e-5)


def test_a_patch_of_another_brightness_shows_as_a_seam():
    case = EDITING[0]
    brighter = np.clip(case.picture.astype(int) + 20 * (case.mask[..., None] > 0), 0, 255).astype(np.uint8)
    assert border_contrast(brighter, case.mask) > 3 * border_contrast(case.picture, case.mask)


def test_an_edge_that_is_missing_makes_up_for_no_seam():
    """Of 20 borders that are faint in truth, each with a seam of 2 levels, and one that lies on an edge."""
    faint, edge = {"task": "erasing", "psnr": 30.0, "no_object": True, "seam": 3.0, "seam_true": 1.0}, 100.0
    scores = [*[faint] * 20, faint | {"seam": edge, "seam_true": edge}]
    seams = [summarise([*scores[:-1], scores[-1] | {"seam": seam}])["erasing.seam"] for seam in (edge, 0.0)]
    assert seams[0] == seams[1]  # whether the edge is there or not
    assert seams[0].value == pytest.approx(40 / 21)
    assert seams[0].low > 1.5 and seams[0].high <= 2


def test_intervals():
    wilson = rate([True] * 8 + [False] * 2)
    assert (wilson.value, wilson.n) == (0.8, 10)
    assert (wilson.low, wilson.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert (rate([True] * 240).high, rate([False] * 240).low) == (1, 0)
    values = np.random.default_rng(0).normal(5, 2, 400)
    boot = mean(values)
    assert boot.value == pytest.approx(values.mean())
    assert (boot.low, boot.high) == pytest.approx((boot.value - 0.196, boot.value + 0.196), abs=0.03)
    assert boot == mean(values)
    assert ratio([1, 2, 3], [1, 1, 2]).value == 1.5
    with pytest.raises(ValueError, match="no case was scored"):
        rate([])


def test_figures_keep_the_tasks_and_the_held_out_apart():
    edit = {"task": "editing", "class": True, "colour": True, "seam": 3.0, "seam_true": 2.0}
    scores = [
        {**edit, "right": True, "held_out": True},
        {**edit, "right": False, "held_out": False},
        {"task": "erasing", "psnr": 30.0, "no_object": True, "seam": 2.0, "seam_true": 2.0},
        {"task": "outpainting", "psnr": 20.0, "seam": 2.0, "seam_true": 4.0},
        {"task": "outpainting", "right": True, "seam": 1.0, "seam_true": 2.0},
    ]
    found = {key: figure.value for key, figure in summarise(scores).items()}
    assert found == {
        "editing.right": 0.5,
        "editing.class": 1.0,
        "editing.colour": 1.0,
        "editing.right_heldout": 1.0,
        "editing.right_seen": 0.0,
        "erasing.no_object": 1.0,
        "outpainting.found": 1.0,
        "erasing.psnr": 30.0,
        "outpainting.psnr": 20.0,
        "editing.seam": 1.0,
        "erasing.seam": 0.0,
        "outpainting.seam": 0.0,
    }


def test_a_contact_sheet_shows_all_cases_in_a_small_file(tmp_path):
    chosen = [*EDITING[:4], *OUTPAINTING[:4]]
    sheet = contact_sheet(chosen, [case.picture for case in chosen])
    assert sheet.size[0] == 4 * (2 * PAGE + 2) + 3 * 8
    assert sheet.size[1] > 2 * PAGE
    sheet.save(tmp_path / "sheet.png", optimize=True)
    assert (tmp_path / "sheet.png").stat().st_size < 150_000


def test_a_pipeline_goes_through_the_bench(pipe):
    lines = []
    for task in TASKS:
        chosen = cases(task)[:2]
        for case, image in zip(chosen, answers(pipe, chosen, num_inference_steps=1), strict=True):
            lines.append({"task": case.task, "held_out": case.held_out} | judged(case, image))
    assert all(1 <= line["quality"] <= 5 for line in lines)
    found = summarise(lines)
    assert {key: figure.n for key, figure in found.items() if key.endswith(".seam")} == {f"{t}.seam": 2 for t in TASKS}
    assert found["editing.right"].n == found["erasing.no_object"].n == 2 and found["outpainting.found"].n == 1


def test_an_answer_does_not_depend_on_the_batch(pipe):
    chosen = EDITING[:3]
    together = list(answers(pipe, chosen, batch=3, num_inference_steps=1))
    alone = list(answers(pipe, chosen, batch=1, num_inference_steps=1))
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(together, alone, strict=True)) <= 1
