"""What the rewards' evaluation says of captions, of certainty and of pixels, and how sure it is of that."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.random import default_rng
from PIL import Image

from byteedit.evaluation.figures import mean
from byteedit.picturebook import scene
from toy_rewards import coherence as reward

SCRIPTS = Path(__file__).parent.parent / "examples" / "picturebook"


@pytest.fixture
def script(monkeypatch):
    """evaluate_rewards.py as a module."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import evaluate_rewards

    return evaluate_rewards


@pytest.fixture
def captions(monkeypatch):
    """captions.py as a module, which draws no page."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import captions

    monkeypatch.setattr(captions.Scene, "render", lambda page: np.zeros((1, 1, 3), np.uint8))
    return captions


@pytest.mark.parametrize(
    ("chosen", "rejected", "fault"),
    [
        ("a red boat and a red tree", "a blue boat and a red tree", "colour"),
        ("a red boat and a blue tree", "a blue boat and a blue tree", "colour"),
        ("a red boat in a green meadow", "a red boat at sunset", "place"),
        ("a red boat at sunset", "a red boat in a green meadow", "place"),
        ("a small red boat by a brick wall", "a large red boat by a brick wall", "size"),
        ("a small red boat and a large orange fish", "a small red boat and a large orange car", "kind"),
        ("an orange fish in a green meadow", "in a green meadow", "poor"),
        ("an orange fish in a green meadow", "an orange thing", "poor"),
        ("a red boat", "a boat", "poor"),
        ("a small red boat", "something", "poor"),
    ],
)
def test_a_caption_s_fault_is_found(script, chosen, rejected, fault):
    assert script.fault({"caption_chosen": chosen, "caption_rejected": rejected}) == fault


def test_the_fault_of_every_caption_that_is_made_is_found(script, captions):
    """Beside the fault that `pair` draws, read from the same random numbers."""
    counts = dict.fromkeys(captions.FAULTS, 0)
    for seed in range(captions.FIRST_SEED, captions.FIRST_SEED + 1500):
        row = captions.pair(seed, "test")
        if row:
            rng = default_rng([11, seed])
            rng.integers(len(scene(seed, "test").things))
            drawn = str(rng.choice(list(captions.FAULTS), p=list(captions.FAULTS.values())))
            assert script.fault(row) == drawn, row
            counts[drawn] += 1
    assert min(counts.values()) > 100


def test_miscalibration_is_the_mean_gap_between_certainty_and_truth(script):
    rng = default_rng(3)
    margin = rng.normal(0.8, 1.5, 300)
    certainty, right = 1 / (1 + np.exp(-abs(margin))), margin > 0
    gap = 0.0
    for low in np.arange(0.5, 1, 0.05):
        inside = (certainty >= low) & (certainty < low + 0.05)
        gap += abs(certainty[inside].sum() - right[inside].sum()) / 300
    figure = script.calibration(margin)["calibration_error"]
    assert figure.value == pytest.approx(gap, abs=1e-9) and figure.n == 300
    assert np.isnan([figure.low, figure.high]).all()


def test_the_interval_of_overconfidence_is_of_pairs_drawn_anew(script):
    """Of pairs of one certainty, the gap is as unsure as the share of right ones: binomial."""
    margin = np.where(np.arange(400) < 240, 2.0, -2.0)  # right: 0.6
    certainty = 1 / (1 + np.exp(-2.0))
    figure = script.calibration(margin)["overconfidence"]
    assert figure.value == pytest.approx(certainty - 0.6)
    half = 1.96 * np.sqrt(0.6 * 0.4 / 400)
    assert figure.low == pytest.approx(certainty - 0.6 - half, abs=0.006)
    assert figure.high == pytest.approx(certainty - 0.6 + half, abs=0.006)
    timid = script.calibration(np.where(np.arange(400) < 390, 2.0, -2.0))["overconfidence"]
    assert timid.high < 0


def test_perfect_certainty_shows_what_chance_makes(script):
    """Pairs of one certainty p: E|p - k/n|, which the normal distribution gives."""
    rng, certainty, n = default_rng(0), 1 / (1 + np.exp(-2.0)), 120
    margin = np.where(rng.random(n) < certainty, 2.0, -2.0)
    found = script.calibration(margin)["calibration_error.by_chance"]
    spread = np.sqrt(certainty * (1 - certainty) / n)
    assert found.value == pytest.approx(spread * np.sqrt(2 / np.pi), rel=0.05)
    assert found.high == pytest.approx(2.24 * spread, rel=0.1)  # the half normal distribution's 97.5 % quantile
    assert script.calibration(-margin)["calibration_error.by_chance"] == found  # whatever was right


class Brightness:
    """A reward of pictures: how bright the first pixel is."""

    def score(self, images, prompts):
        assert set(prompts) == {"a boat"}
        return [float(image) for image in images]


@pytest.mark.parametrize(
    "rows",
    [
        [{"prompt": "a", "chosen": better, "rejected": worse} for better, worse in ((3, 1), (2, 1), (1, 2), (1, 1))],
        [{"image": 1, "caption_chosen": "a" * right, "caption_rejected": "a"} for right in (3, 2, 0, 1)],
    ],
    ids=["pictures", "captions"],
)
def test_pairs_of_pictures_and_of_captions_are_told_apart(script, monkeypatch, rows):
    """A tie is not told; each change is made of every picture."""
    monkeypatch.setattr(script, "CHANGES", {"negative": lambda image: -image})
    model = SimpleNamespace(
        score=lambda images, prompts: [float(i * len(p)) for i, p in zip(images, prompts, strict=True)],
        config=SimpleNamespace(score_std=1.0),
    )
    found = script.preference(model, rows, {"first": np.arange(4) == 0, "none": np.zeros(4, bool)})
    names = ("pair_accuracy", "pair_accuracy.first", "pair_accuracy.negative")
    assert [found[name].value for name in names] == [0.5, 1, 0.25]
    assert "pair_accuracy.none" not in found


def test_every_two_answers_count_and_a_case_s_stay_together(script):
    asked = {"prompt": "a boat"}
    rows = [asked | {"candidates": [1, 2, 3], "marks": [1.0, 2.0, 2.01]}]  # three pairs, all told
    rows += [asked | {"candidates": [1, 2, 3], "marks": [3.0, 3.0, 2.0]}]  # two pairs, none told
    rows += [asked | {"candidates": [1, 2, 3], "marks": [2.0, 2.0, 2.0]}]  # nothing to tell
    found = script.every_two(Brightness(), rows)
    figure, apart = found["pair_accuracy.every_two"], found["pair_accuracy.every_two_apart"]
    assert (figure.value, figure.n) == (0.6, 2)
    assert (figure.low, figure.high) == (0, 1)
    assert (apart.value, apart.n) == (0.5, 2)  # without 2.01 against 2


def test_rows_of_held_out_combinations_are_found(script, monkeypatch):
    monkeypatch.setattr(script, "COUNTS", {"test": (2, 2, 2)})
    asked = [case for task in script.TASKS for case in script.cases(task, "test", 2)]
    judged = [{"prompt": case.prompt or "", "mask": Image.fromarray(case.mask)} for case in asked]
    assert script.held_out(judged).tolist() == [bool(case.prompt) and case.held_out for case in asked]
    assert 0 < script.held_out(judged).sum() < len(judged)


def test_the_answers_to_a_case_are_drawn_together(script):
    torch.manual_seed(0)
    model, rng = reward(), default_rng(0)
    mask = Image.new("L", (16, 16))
    nothing = mask.copy()
    mask.paste(255, (4, 4, 12, 12))
    pictures, areas, alarms = [], [], []
    for answers, task in zip((4, 4, 3, 4, 4), ("editing", "editing", "erasing", "erasing", "erasing"), strict=True):
        image = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        rows = [{"image": image, "mask": mask, "task": task}] * answers  # all answers alike: they say no more than one
        pictures += [*rows, {"image": image, "mask": nothing, "task": task}]
        areas.append(script.areas(model, rows[:1], lambda image: image)[0])
        alarms.append(np.mean(model.map([image])[0] < 0.5))
    figures = script.coherence(model, pictures)
    changes = [f"pixel_auc.{name}" for name in ("jpeg75", "three_quarters", "double")]
    assert list(figures) == ["pixel_auc", "pixel_auc.editing", "pixel_auc.erasing", *changes, "false_alarms"]
    assert figures["pixel_auc.editing"].value == pytest.approx(np.mean(areas[:2]), abs=1e-6)
    assert figures["pixel_auc.erasing"].value == pytest.approx(np.average(areas[2:], weights=[3, 4, 4]), abs=1e-6)
    assert figures["pixel_auc.erasing"].n == 3
    assert figures["false_alarms"].value == pytest.approx(np.mean(alarms)) and 0 < np.mean(alarms) < 1
    figure = figures["pixel_auc"]
    assert figure.n == 5
    assert figure.value == pytest.approx(np.average(areas, weights=[4, 4, 3, 4, 4]), abs=1e-6)
    alone, naive = mean(areas), mean(np.repeat(areas, [4, 4, 3, 4, 4]))
    assert figure.high - figure.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert figure.high - figure.low > 1.5 * (naive.high - naive.low)
