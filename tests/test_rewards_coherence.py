"""CoherenceReward: a logit for every pixel of any size, at the right place, with gradient; batches, maps, saving."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel, ViTModel

from byteedit.image import to_tensor
from byteedit.reading import read_pictures
from byteedit.rewards import CoherenceReward, CoherenceRewardConfig, coherence
from byteedit.rewards.coherence import mirrored
from byteedit.rewards.pixels import windows


def build(**config) -> CoherenceReward:
    """A reward of a few thousand weights, in patches of 4, with positions for 16 pixels."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vit = {**sizes, "image_size": 16, "patch_size": 4, "initializer_range": 0.3}
    reward = CoherenceReward(CoherenceRewardConfig(vit_config=vit, **config)).eval()
    for weight in reward.head.parameters():  # as if trained: logits of about 1
        torch.nn.init.normal_(weight, std=0.5)
    return reward


def tensor(picture) -> torch.Tensor:
    """(1, 3, H, W) in [-1, 1]."""
    return to_tensor(read_pictures(picture)[0].pixels[None])


@pytest.fixture
def pictures(scene):
    """Four pictures, two of them of one size, out of order."""
    return [scene(*size, seed=i)[0] for i, size in enumerate([(24, 16), (19, 21), (24, 16), (16, 24)])]


@pytest.mark.parametrize("size", [(16, 16), (24, 36), (27, 21), (3, 2), (1, 1)])
@pytest.mark.parametrize("image_size", [None, 12])
def test_every_pixel_of_any_size_gets_a_logit(size, image_size):
    logits = build(image_size=image_size)(torch.rand(2, 3, *size))
    assert logits.shape == (2, 1, *size)
    assert logits.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("size", "image_size"), [((16, 16), None), ((27, 21), None), ((27, 21), 20)])
def test_gradients_reach_the_pixels(dtype, size, image_size):
    reward = build(image_size=image_size).to(dtype)
    image = (torch.rand(2, 3, *size) * 2 - 1).to(dtype).requires_grad_()
    score = reward.rate(image, ["a tree"] * 2)
    score.sum().backward()
    assert score.shape == (2,) and score.dtype == torch.float32
    assert image.grad.isfinite().all()
    assert (image.grad.abs().sum(dim=1) > 0).float().mean() > 0.99


def test_each_logit_stands_where_its_pixel_is():
    reward = build()
    with torch.no_grad():
        reward.head[-1].weight.zero_()
        reward.head[-1].bias.copy_(torch.arange(16.0))
    logits = reward(torch.rand(1, 3, 8, 12))[0, 0]
    patch = torch.arange(16.0).reshape(4, 4)
    torch.testing.assert_close(logits, patch.repeat(2, 3))


def test_a_changed_patch_changes_most_where_it_is():
    reward, image = build(), torch.rand(1, 3, 16, 16)
    changed = image.clone()
    changed[..., 4:8, 8:12] -= 1.5
    change = (reward(changed) - reward(image)).abs()[0, 0]
    assert F.avg_pool2d(change[None], 4)[0].argmax() == 1 * 4 + 2  # second row of patches, third column


def test_what_lacks_to_full_patches_is_mirrored():
    reward, image = build(), torch.rand(1, 3, 27, 21)
    whole = torch.from_numpy(np.pad(image.numpy(), ((0, 0), (0, 0), (0, 1), (0, 3)), mode="reflect"))
    torch.testing.assert_close(reward(image), reward(whole)[..., :27, :21])
    assert mirrored(torch.arange(3), 0, 8).tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert mirrored(torch.arange(1), 0, 3).tolist() == [0, 0, 0]


def test_it_sees_images_at_the_size_it_asks_for():
    image = torch.rand(2, 3, 24, 36)
    smaller = F.interpolate(image, (12, 18), mode="bicubic", antialias=True)
    expected = F.interpolate(build()(smaller), (24, 36), mode="bilinear", antialias=True)
    torch.testing.assert_close(build(image_size=12)(image), expected)


def test_an_image_scored_alone_and_in_a_batch_gets_the_same_score(pictures):
    reward = build()
    together = reward.score(pictures, batch_size=3)
    assert together == pytest.approx([reward.score([picture])[0] for picture in pictures], abs=1e-5)
    assert together == pytest.approx([reward.rate(tensor(picture), [""]).item() for picture in pictures], abs=1e-5)
    assert len({round(score, 4) for score in together}) == 4
    assert reward.score([]) == []


def test_the_map_is_the_probability_that_a_pixel_is_real(pictures):
    reward = build()
    maps = reward.map(pictures)
    assert [found.shape for found in maps] == [(16, 24), (21, 19), (16, 24), (24, 16)]
    for found, picture in zip(maps, pictures, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, reward(tensor(picture)).sigmoid()[0, 0].detach(), atol=1e-5)


def test_score_and_map_come_from_one_look(pictures):
    reward = build()
    expected = list(zip(reward.score(pictures), reward.map(pictures), strict=True))
    shapes = shapes_seen(reward)
    for (score, real), (alone, map_alone) in zip(reward.score_and_map(pictures), expected, strict=True):
        assert score == alone and np.array_equal(real, map_alone)
    assert sum(shape[0] for shape in shapes) == len(pictures)


@pytest.mark.parametrize("length", [8, 39, 40, 41, 100, 333, 4032])
def test_windows_cover_all_and_fade_into_each_other(length):
    parts, total = windows(length, 32, 8, 4), torch.zeros(length)
    for part, share in parts:
        assert part.start % 4 == 0 and len(share) == part.stop - part.start <= 32
        total[part] += share
        assert share.diff().abs().max() <= 1 / 8
        assert share[0] <= 1 / 16 if part.start else share[0] == 1
    torch.testing.assert_close(total, torch.ones(length))
    assert parts[0][0].start == 0 and parts[-1][0].stop == length
    assert all(one.stop - other.start >= 8 for (one, _), (other, _) in pairwise(parts))
    assert len(parts) == max(1, math.ceil((math.ceil(length / 4) - 2) / 6))  # in patches


@pytest.fixture
def small_windows(monkeypatch):
    """Windows of 32 pixels, of which neighbours share 8, and batches of 2,048 pixels."""
    for name, value in {"SIDE": 32, "OVERLAP": 8, "TOGETHER": 2048}.items():
        monkeypatch.setattr(coherence, name, value)


def shapes_seen(reward) -> list:
    """Shapes (B, C, h, w) of what the ViT gets, from now on."""
    shapes = []
    reward.vit.register_forward_pre_hook(lambda vit, given: shapes.append(tuple(given[0].shape)))
    return shapes


def test_a_large_picture_is_what_its_windows_are_away_from_their_borders(small_windows, scene):
    reward, picture = build(), scene(70, 50, seed=5)[0]
    shapes = shapes_seen(reward)
    [found] = reward.predict([picture], 16, torch.clone)  # (50, 70) logits
    assert shapes == [(1, 3, 32, 32)] * 6  # two rows of three; what lacks to full patches is mirrored
    low, high = torch.full((50, 70), torch.inf), torch.full((50, 70), -torch.inf)
    for rows, above in windows(50, 32, 8, 4):
        for columns, beside in windows(70, 32, 8, 4):
            alone = reward(tensor(picture)[..., rows, columns])[0, 0].detach()
            inner = above[:, None] * beside == 1
            assert inner.float().mean() > 0.1
            torch.testing.assert_close(found[rows, columns][inner], alone[inner], atol=1e-4, rtol=1e-5)
            low[rows, columns] = low[rows, columns].minimum(alone)
            high[rows, columns] = high[rows, columns].maximum(alone)
    assert ((low - 1e-4 <= found) & (found <= high + 1e-4)).all()  # where windows fade, it is between them
    between = (found - low).minimum(high - found) > 0.1 * (high - low)
    assert between[high - low > 1e-2].float().mean() > 0.5
    assert reward.score([picture]) == [found.mean().item()]
    np.testing.assert_allclose(reward.map([picture])[0], found.sigmoid(), atol=1e-6)


@pytest.mark.parametrize("size", [(32, 32), (64, 16), (31, 33)])
def test_a_picture_that_is_not_large_is_seen_whole_as_ever(small_windows, scene, size):
    reward, picture = build(), scene(*size)[0]
    shapes = shapes_seen(reward)
    found = reward.map([picture])[0]
    assert len(shapes) == 1
    assert np.array_equal(found, reward(tensor(picture)).sigmoid()[0, 0].detach().numpy())


def test_no_batch_and_no_window_is_larger_than_memory_allows(small_windows, scene):
    reward = build()
    shapes = shapes_seen(reward)
    reward.score([scene(*size)[0] for size in [(300, 200), *[(32, 32)] * 5, *[(16, 16)] * 20, (7, 400), (90, 33)]])
    assert max(math.prod(shape[2:]) for shape in shapes) <= 32**2
    assert max(math.prod(shape) // 3 for shape in shapes) == 2048
    assert [shape[0] for shape in shapes if shape[2:] == (16, 16)] == [8, 8, 4]
    assert [shape[0] for shape in shapes if shape[2:] == (32, 32) and shape[0] > 1] == [2, 2]


def test_large_and_small_pictures_get_the_same_score_alone_and_in_a_batch(small_windows, scene):
    reward = build(residual_gain=8.0)
    pictures = [scene(*size, seed=i)[0] for i, size in enumerate([(40, 30), (16, 24), (70, 50), (16, 24), (40, 30)])]
    assert reward.score(pictures) == pytest.approx([reward.score([one])[0] for one in pictures], abs=1e-5)
    assert [real.shape for real in reward.map(pictures)] == [(30, 40), (24, 16), (50, 70), (24, 16), (30, 40)]


def test_a_reward_with_a_size_of_its_own_sees_all_but_very_long_pictures_whole(small_windows, scene):
    reward = build(image_size=24)
    shapes = shapes_seen(reward)
    whole, long = scene(192, 48, seed=1)[0], scene(240, 48, seed=2)[0]
    assert np.array_equal(reward.map([whole])[0], reward(tensor(whole)).sigmoid()[0, 0].detach().numpy())
    assert shapes[0] == (1, 3, 24, 96)
    del shapes[:]
    found = reward.map([long])[0]
    assert found.shape == (48, 240) and shapes == [(1, 3, 24, 48)] * 3  # they begin at 0, 36 and 72
    middle = F.interpolate(tensor(long), (24, 120), mode="bicubic", antialias=True)[..., 36:84]
    alone = F.interpolate(reward.see(middle), scale_factor=2, mode="bilinear", antialias=True)[0, 0].sigmoid().detach()
    np.testing.assert_allclose(found[:, 104:136], alone[:, 32:64], atol=1e-5)


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_of_nothing_is_refused_in_words(pictures, size):
    with pytest.raises(ValueError, match=f"batch_size is {size}; it must be 1 or more"):
        build().score(pictures, batch_size=size)


@pytest.mark.parametrize("opening", [CoherenceReward, AutoModel])
def test_it_comes_back_as_it_was_saved(tmp_path, pictures, opening):
    reward = build(image_size=12, image_mean=[0.4, 0.5, 0.6])
    reward.save_pretrained(tmp_path)
    again = opening.from_pretrained(tmp_path)
    assert type(again) is CoherenceReward and not again.training
    assert again.score(pictures) == reward.score(pictures)


def test_files_of_half_precision_open_in_float32(tmp_path):
    build().half().save_pretrained(tmp_path)
    assert CoherenceReward.from_pretrained(tmp_path).dtype == torch.float32
    assert CoherenceReward.from_pretrained(tmp_path, torch_dtype=torch.bfloat16).dtype == torch.bfloat16


def test_a_pretrained_vit_takes_its_place():
    reward, vit = build(), ViTModel(build().config.vit_config, add_pooling_layer=False)
    reward.vit.load_state_dict(vit.state_dict())
    assert reward.vit.layers[0].mlp.fc1.weight.equal(vit.layers[0].mlp.fc1.weight)


def test_what_is_no_image_is_refused_in_words():
    with pytest.raises(ValueError, match=r"image is \(3, 16, 16\); rewards take \(B, 3, H, W\)"):
        build()(torch.zeros(3, 16, 16))
