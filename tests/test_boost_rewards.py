"""What feedback learning opens: rewards, followed in one precision and measured in another; the features of L_vgg."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from byteedit.hub import UNREACHABLE
from byteedit.rewards.opening import open_reward
from byteedit.training.boost import followed, open_features, open_rewards
from byteedit.training.loop import begin
from byteedit.training.watching import HeldOut
from test_boost import run, settings, watched  # noqa: F401
from toy_training import fresh  # noqa: F401

PROMPTS = ["a red boat on the lake", "grass"]


def test_what_is_held_out_is_measured_in_float32_where_training_is_in_bf16(settings, monkeypatch):  # noqa: F811
    settings = watched(settings, mixed_precision="bf16", steps=1, rewards={"pretty": 1, "alignment": 0})
    scored, score = [], HeldOut.score

    def spying(self, edited, prompt):
        found = score(self, edited, prompt)
        scored.append((edited, prompt, found[0]))  # (B, 3, H, W), B strings, (R,)
        return found

    monkeypatch.setattr(HeldOut, "score", spying)
    run(settings)
    rewards = [open_reward(settings.locate_reward(name)).eval() for name in settings.rewards]
    assert len(scored) > 1
    for edited, prompt, found in scored:
        with torch.no_grad():
            exact = [reward.rate(edited, prompt) for reward in rewards]
        asked = torch.tensor([float(bool(words)) for words in prompt])
        expected = torch.stack([exact[0].sum(), (exact[1] * asked).sum()])
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_rewards_are_followed_in_the_precision_of_training(settings, precision):  # noqa: F811
    settings = replace(settings, mixed_precision=precision, held_out="picturebook:validation")
    settings = replace(settings, rewards={"pretty": 0.5, "alignment": 0})
    accelerator, image = begin(settings, cpu=True), torch.rand(2, 3, 20, 30) * 2 - 1
    rewards = open_rewards(accelerator, settings)
    follow = followed(accelerator, settings, rewards)
    assert list(rewards) == ["pretty", "alignment"] and list(follow) == ["pretty"]
    rate, weight = follow["pretty"]
    image.requires_grad_()
    score, exact = rate(image, PROMPTS), open_reward(settings.locate_reward("pretty")).eval().rate(image, PROMPTS)
    assert weight == 0.5 and torch.equal(rewards["pretty"].rate(image, PROMPTS), exact)
    assert torch.equal(score, exact) == (precision == "no")
    torch.testing.assert_close(score, exact, rtol=0, atol=0.02)
    [slope] = torch.autograd.grad(score.sum(), image)
    assert slope.isfinite().all() and slope.any()
    assert {value.dtype for value in rewards["pretty"].parameters()} == {torch.float32}


def test_a_tower_gives_its_features_in_the_precision_of_training(settings):  # noqa: F811
    settings, image = replace(settings, mixed_precision="bf16"), torch.rand(1, 3, 16, 16)
    accelerator = begin(settings, cpu=True)
    rewards = open_rewards(accelerator, settings)
    lowered, exact = open_features(accelerator, settings, rewards)(image)[-1], rewards["pretty"].features(image)[-1]
    assert not torch.equal(lowered, exact)
    torch.testing.assert_close(lowered.float(), exact, rtol=0, atol=0.05)


def test_features_that_are_nowhere_are_said(settings, tmp_path, monkeypatch):  # noqa: F811
    accelerator = begin(settings, cpu=True)

    def refused(*_):
        raise UNREACHABLE[1]("404 Client Error. (Request ID: 1)")

    monkeypatch.setattr("byteedit.vgg.hf_hub_download", refused)
    save_file({"features.0.weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    for name, words in (
        ("no/vgg/here", r"features is no/vgg/here, and nothing is there; .* or one of pretty, alignment, .*;"),
        ("owner/vgg", r"no VGG16 for features owner/vgg here, and the hub does not give it \(404 Client Error\)"),
        (settings.base, r"base has no model.safetensors; name a folder or a hub name, owner/name, of a VGG16"),
        (str(tmp_path), r"lacks features.0.bias; it is no VGG16"),
    ):
        with pytest.raises(ValueError, match=words):
            open_features(accelerator, replace(settings, features=name), {})
