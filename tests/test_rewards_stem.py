"""A convolutional stem in the towers: as many tokens as patches, gradients, saved and opened again."""

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel

from byteedit.rewards.pixels import residual
from byteedit.rewards.stem import Stem, build_stem
from byteedit.training.towers import build
from toy_rewards import (
    MLP,
    TEXT,
    VISION,
    CoherenceReward,
    CoherenceRewardConfig,
    PreferenceReward,
    PreferenceRewardConfig,
    settings_for,
)

STEM = [8, 16, 8]  # patches of 8


def preference(tokenizer, **changes) -> PreferenceReward:
    torch.manual_seed(0)
    text = TEXT | {"vocab_size": len(tokenizer)}
    config = PreferenceRewardConfig(vision_config=VISION, text_config=text, stem_widths=STEM, **MLP, **changes)
    return PreferenceReward(config, tokenizer).eval()


def coherence() -> CoherenceReward:
    torch.manual_seed(0)
    return CoherenceReward(CoherenceRewardConfig(vit_config=VISION, stem_widths=STEM, residual_gain=32.0)).eval()


@pytest.mark.parametrize("size", [(16, 16), (8, 24)])
def test_a_stem_gives_a_token_for_each_patch(size):
    height, width = size
    assert build_stem(STEM, 16, 8)(torch.rand(2, 3, *size)).shape == (2, 16, height // 8, width // 8)


def test_halvings_must_make_the_patch():
    with pytest.raises(ValueError, match=r"stem_widths is \[8, 16\]; patches of 8 take one width for each halving"):
        build_stem([8, 16], 16, 8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_reach_pixels_and_stem(tokenizer, dtype):
    for reward in (preference(tokenizer), preference(tokenizer, residual_gain=8.0), coherence()):
        reward = reward.to(dtype)
        image = (torch.rand(2, 3, 16, 16) * 2 - 1).to(dtype).requires_grad_()
        reward.rate(image, ["a red boat"] * 2).sum().backward()
        stem = next(module for module in reward.modules() if isinstance(module, Stem))
        assert image.grad.isfinite().all() and image.grad.abs().sum() > 0
        assert stem.weight.grad.abs().sum() > 0


def test_what_is_saved_opens_with_its_stem(tokenizer, tmp_path):
    image = torch.rand(1, 3, 16, 16)
    for name, reward in (("preference", preference(tokenizer)), ("coherence", coherence())):
        reward.save_pretrained(tmp_path / name)
        again = AutoModel.from_pretrained(tmp_path / name).eval()
        assert torch.equal(again.rate(image, ["a boat"]), reward.rate(image, ["a boat"]))


def test_prompts_of_one_image_are_scored_as_if_each_had_its_own(tokenizer):
    reward, image, prompts = preference(tokenizer), torch.rand(2, 3, 16, 16), ["a boat", "a tree", "red", "a house"]
    together = reward(image, **reward.tokenize(prompts))
    assert torch.allclose(together, reward(image.repeat(2, 1, 1, 1), **reward.tokenize(prompts)), atol=1e-6)


def test_the_residual_is_what_differs_from_around_whatever_the_brightness():
    image = torch.zeros(1, 3, 5, 5)
    image[..., 2, 2] = 9 / 255
    assert torch.allclose(residual(image, 4.0)[0, 0, 2, 2], torch.tanh(torch.tensor(4 * 8 / 255)))
    assert torch.allclose(residual(image + 0.5, 4.0), residual(image, 4.0), atol=1e-5)


@pytest.mark.parametrize("size", [(7, 5), (1, 4), (2, 2)])
def test_around_a_pixel_is_what_the_picture_has_there(size):
    image = torch.rand(2, 3, *size) * 2 - 1
    around = F.avg_pool2d(image, 3, stride=1, padding=1, count_include_pad=False)
    torch.testing.assert_close(residual(image, 4.0), torch.tanh(4.0 * (image - around)), atol=1e-5, rtol=0)


def test_a_coherence_reward_with_a_residual_takes_any_size():
    reward = CoherenceReward(CoherenceRewardConfig(vit_config=VISION, residual_gain=8.0)).eval()
    assert reward(torch.rand(1, 3, 19, 27)).shape == (1, 1, 19, 27)


def test_a_reward_that_goes_on_with_a_residual_scores_as_before_until_it_learns(tokenizer, tmp_path):
    before = preference(tokenizer)
    before.save_pretrained(tmp_path / "before")
    settings = settings_for(tmp_path / "run", "aesthetic", model=str(tmp_path / "before"))
    settings.architecture = {"residual_gain": 32.0}
    after, image = build(settings).eval(), torch.rand(1, 3, 16, 16)
    assert torch.allclose(after.rate(image, ["a boat"]), before.rate(image, ["a boat"]), atol=1e-6)
    after.rate(image, ["a boat"]).sum().backward()
    assert after.vision_model.embeddings.patch_embedding.weight.grad[:, 3:].abs().sum() > 0
    after.save_pretrained(tmp_path / "after")
    settings.model, settings.architecture = str(tmp_path / "after"), {}
    assert build(settings).config.residual_gain == 32.0


def test_a_residual_needs_a_stem():
    with pytest.raises(ValueError, match="residual_gain needs a stem"):
        PreferenceRewardConfig(residual_gain=8.0)
