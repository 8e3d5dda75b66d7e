"""The picturebook: scenes are pure functions of their seed, and every truth fits its scene."""

import time

import numpy as np
import pytest

from byteedit.picturebook import BACKGROUNDS, COLOURS, KINDS, PAGE, SIZES, held_out, scene


def test_the_world_is_as_large_as_promised():
    assert (len(BACKGROUNDS), len(KINDS), len(COLOURS), len(SIZES)) == (8, 12, 8, 3)


def test_a_seed_is_a_scene_forever():
    first, again, other = scene(5).render(), scene(5).render(), scene(6).render()
    assert first.dtype == np.uint8 and first.shape == (PAGE, PAGE, 3)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_splits_never_share_a_scene():
    pages = [scene(seed, split) for split in ("train", "validation", "test") for seed in range(300)]
    assert len(set(pages)) == 900


def test_training_never_shows_a_held_out_combination_and_the_others_do():
    seen = {s: [scene(i, s) for i in range(2000)] for s in ("train", "test")}
    count = {
        s: sum(held_out(t.kind, t.colour, p.background) for p in pages for t in p.things) for s, pages in seen.items()
    }
    assert count["train"] == 0
    assert count["test"] > 200
    each = [sum(held_out(k, c, b) for b in BACKGROUNDS) for k in KINDS for c in COLOURS]
    assert each == [1] * 96


def test_captions_name_everything_and_phrases_agree():
    page = next(p for p in map(scene, range(100)) if len(p.things) == 2)
    assert page.caption == f"{page.things[0].phrase} and {page.things[1].phrase} {page.place}"
    assert page.without(0, 1).caption == page.place


@pytest.mark.parametrize("seed", range(12))
def test_removing_a_thing_changes_its_mask_and_nothing_else(seed):
    page = scene(seed, "validation")
    for i in range(len(page.things)):
        change = np.abs(page.render().astype(int) - page.without(i).render()).max(-1)
        mask = page.mask(i) > 0
        assert mask.sum() > 100
        assert change[~mask].max() <= 5, "a pixel covered to less than 2 % moves by 2 % of 255 at most"
        assert (change[mask] > 0).mean() > 0.9, "most of the mask shows the thing"


@pytest.mark.parametrize("place", BACKGROUNDS)
def test_a_wider_canvas_shows_the_same_place(place):
    page = next(p for p in map(scene, range(500)) if p.background == place)
    wide = page.render((-40, -10, PAGE + 50, PAGE + 20))
    assert wide.shape == (PAGE + 30, PAGE + 90, 3)
    assert np.array_equal(wide[10:-20, 40:-50], page.render())


def test_edges_are_antialiased():
    page = next(p for p in map(scene, range(500)) if len(p.things) == 1 and p.things[0].size == "large")
    coverage = page.things[0].coverage((0, 0, PAGE, PAGE))
    assert ((coverage > 0.1) & (coverage < 0.9)).sum() > 60


def test_two_hundred_scenes_a_second():
    for seed in range(200):
        scene(seed).render()  # fills the cache of sprites
    began = time.process_time()
    for seed in range(200, 400):
        scene(seed).render()
    assert time.process_time() - began < 1.0


def test_an_unknown_split_is_refused_by_name():
    with pytest.raises(ValueError, match="split is 'dev'; the picturebook has train, validation, test"):
        scene(0, "dev")
