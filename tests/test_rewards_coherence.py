"""CoherenceReward: a logit for every pixel of any size, at the right place, with gradient; batches, maps, saving."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel, ViTModel

from byteedit.image import read_pictures, to_tensor
from byteedit.rewards import CoherenceReward, CoherenceRewardConfig
from byteedit.rewards.coherence import mirrored


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


def test_a_pretrained_vit_takes_its_place():
    reward, vit = build(), ViTModel(build().config.vit_config, add_pooling_layer=False)
    reward.vit.load_state_dict(vit.state_dict())
    assert reward.vit.layers[0].mlp.fc1.weight.equal(vit.layers[0].mlp.fc1.weight)


def test_what_is_no_image_is_refused_in_words():
    with pytest.raises(ValueError, match=r"image is \(3, 16, 16\); rewards take \(B, 3, H, W\)"):
        build()(torch.zeros(3, 16, 16))
