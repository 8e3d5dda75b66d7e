"""The paper's mask kinds: pure, of the right shape, and of the kind that their name says."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from byteedit import masks

SIZE = (96, 128)


@pytest.mark.parametrize("kind", masks.KINDS)
def test_a_mask_is_uint8_0_or_255_and_a_function_of_its_rng(kind):
    drawn = [masks.KINDS[kind](SIZE, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    for mask in drawn:
        assert mask.shape == SIZE and mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {0, 255} and mask.any()
    assert np.array_equal(drawn[0], drawn[1])
    assert kind == "global" or not np.array_equal(drawn[0], drawn[2])


def test_global_is_everything():
    assert (masks.whole(SIZE, np.random.default_rng(0)) == 255).all()


@pytest.mark.parametrize("seed", range(20))
def test_outward_keeps_one_rectangle(seed):
    kept = masks.outward(SIZE, np.random.default_rng(seed)) == 0
    left, top, right, bottom = masks.box(kept)
    assert kept.sum() == (right - left) * (bottom - top)
    assert 0.1 < kept.mean() < 0.9


@pytest.mark.parametrize("seed", range(20))
def test_irregular_strokes_are_few_and_leave_most_of_the_picture(seed):
    mask = masks.irregular(SIZE, np.random.default_rng(seed))
    assert label(mask)[1] <= 5  # three strokes; one may leave the picture and come back
    assert 0 < (mask > 0).mean() < 0.75


@pytest.mark.parametrize("seed", range(30))
def test_an_instance_mask_covers_its_object(seed):
    rng = np.random.default_rng(seed)
    thing = np.zeros(SIZE, np.uint8)
    thing[30:60, 40:55] = 255
    mask = masks.instance(thing, rng, stray=0)
    assert (mask[thing > 0] == 255).all()
    assert thing.astype(bool).sum() <= (mask > 0).sum() < 9 * thing.astype(bool).sum()


def test_stray_strokes_only_add():
    thing = np.zeros(SIZE, np.uint8)
    thing[10:20, 10:20] = 255
    plain, joined = (masks.instance(thing, np.random.default_rng(3), stray=p) for p in (0.0, 1.0))
    assert (joined >= plain).all() and (joined > plain).any()


@pytest.mark.parametrize("radius", [0, 1, 4, 9])
def test_dilate_equals_scipys(radius):
    mask = np.zeros(SIZE, np.uint8)
    mask[0, 5] = mask[40:43, 60:70] = mask[95, 127] = 255
    r = np.arange(-radius, radius + 1)
    disc = r[:, None] ** 2 + r[None] ** 2 <= radius**2
    assert np.array_equal(masks.dilate(mask, radius) > 0, binary_dilation(mask > 0, disc))


def test_draw_follows_its_probabilities():
    rng = np.random.default_rng(0)
    drawn = [masks.draw(SIZE, rng, {"global": 3, "square": 1}) for _ in range(400)]
    assert 0.68 < np.mean([(m == 255).all() for m in drawn]) < 0.82


def test_errors_name_what_to_do():
    with pytest.raises(ValueError, match=r"unknown mask kinds \['round'\]; choose among global, irregular"):
        masks.draw(SIZE, np.random.default_rng(0), {"round": 1.0})
    with pytest.raises(ValueError, match="instance mask is empty"):
        masks.instance(np.zeros(SIZE, np.uint8), np.random.default_rng(0))
