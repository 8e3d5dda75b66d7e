"""CLIPReward: CLIP's own cosine and PickScore's logit, with gradient; batches and loading."""

import pytest
import torch
from transformers import CLIPConfig, CLIPModel

import byteedit
from byteedit.image import normalize
from byteedit.rewards import CLIPReward
from byteedit.rewards.opening import open_reward
from byteedit.rewards.pixels import CLIP_MEAN, CLIP_STD
from byteedit.rewards.tokens import fitting_tokenizer

PROMPTS = ["a red boat on the lake", "grass", "two blue balloons by the house"]


@pytest.fixture
def build(tokenizer):
    """Function that builds a reward of a few thousand weights, for images of 16 pixels: build(scaled=False)."""

    def build(**options) -> CLIPReward:
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        ids = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
        config = CLIPConfig(
            text_config={**sizes, **ids, "max_position_embeddings": 16},
            vision_config={**sizes, "image_size": 16, "patch_size": 4},
            projection_dim=12,
            initializer_factor=5.0,
        )
        return CLIPReward(CLIPModel(config).eval(), tokenizer, **options)

    return build


@pytest.fixture
def pictures(scene):
    """Three pictures of three sizes."""
    return [scene(40, 24, seed=1)[0], scene(16, 23, seed=2)[0], scene(9, 9, seed=3)[0]]


@pytest.mark.parametrize("scaled", [False, True])
def test_it_is_what_clip_itself_says(build, scaled):
    reward, image = build(scaled=scaled), torch.rand(3, 3, 16, 16) * 2 - 1
    tokens = reward.tokenizer(PROMPTS, padding=True, truncation=True, max_length=16, return_tensors="pt")
    with torch.no_grad():
        pixels = normalize(image, CLIP_MEAN, CLIP_STD)
        clip = reward.model(tokens.input_ids, pixels, tokens.attention_mask).logits_per_image.diag()
        found = reward.rate(image, PROMPTS)
    scale = reward.model.logit_scale.exp().item()
    assert scale > 10
    torch.testing.assert_close(found, clip if scaled else clip / scale)
    assert found.abs().max() <= (scale if scaled else 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(16, 16), (37, 29)])
def test_gradients_reach_the_pixels(build, dtype, size):
    reward = build(scaled=True).to(dtype)
    image = (torch.rand(2, 3, *size) * 2 - 1).to(dtype).requires_grad_()
    score = reward.rate(image, PROMPTS[:2])
    score.sum().backward()
    assert score.shape == (2,) and score.dtype == torch.float32
    assert image.grad.isfinite().all()
    assert (image.grad[..., 4:-4, :].abs().sum(dim=1) > 0).float().mean() > 0.99


def test_an_image_scored_alone_and_in_a_batch_gets_the_same_score(build, pictures):
    reward = build()
    together = reward.score(pictures, PROMPTS, batch_size=2)
    alone = [reward.score([picture], [prompt])[0] for picture, prompt in zip(pictures, PROMPTS, strict=True)]
    assert together == pytest.approx(alone, abs=1e-5)
    assert len({round(score, 4) for score in together}) == 3


def test_prompts_longer_than_the_model_reads_are_cut_off(build):
    score = build().rate(torch.zeros(1, 3, 16, 16), ["a red boat on the lake " * 9])
    assert score.isfinite().all()


def test_it_opens_from_folders(build, tmp_path, pictures):
    reward = build()
    reward.model.half().save_pretrained(tmp_path / "model")
    reward.tokenizer.save_pretrained(tmp_path / "tokenizer")
    reward.model.float()
    again = CLIPReward.from_pretrained(tmp_path / "model", tokenizer=tmp_path / "tokenizer")
    assert again.model.dtype == torch.float32
    assert again.score(pictures, PROMPTS) == pytest.approx(reward.score(pictures, PROMPTS), abs=1e-6)
    pick = CLIPReward.pickscore(tmp_path / "model", tokenizer=tmp_path / "tokenizer")
    scale = reward.model.logit_scale.exp().item()
    expected = [scale * score for score in reward.score(pictures, PROMPTS)]
    assert pick.score(pictures, PROMPTS) == pytest.approx(expected, rel=1e-4)


def test_pickscore_in_a_folder_is_said_to_be_one(build, tmp_path, pictures, monkeypatch):
    reward = build()
    for folder, words in (("whole", "whole"), ("bare", "tokenizer")):
        reward.model.save_pretrained(tmp_path / folder)
        reward.tokenizer.save_pretrained(tmp_path / words)
    scale = reward.model.logit_scale.exp().item()
    cosines = reward.score(pictures, PROMPTS)
    assert open_reward(f"{tmp_path}/whole").score(pictures, PROMPTS) == pytest.approx(cosines, abs=1e-6)
    for name in (f"pickscore:{tmp_path}/whole", f"pickscore:{tmp_path}/bare,tokenizer={tmp_path}/tokenizer"):
        scores = open_reward(name).score(pictures, PROMPTS)
        assert scores == pytest.approx([scale * cosine for cosine in cosines], rel=1e-4)
    monkeypatch.setattr("byteedit.rewards.clip.PICKSCORE_TOKENIZER", str(tmp_path / "tokenizer"))
    assert open_reward(f"pickscore:{tmp_path}/bare").score(pictures, PROMPTS) == scores
    with pytest.raises(ValueError, match="bare has 2 tokens, the model has"):
        open_reward(f"pickscore:{tmp_path}/bare,tokenizer={tmp_path}/bare")


def test_what_is_no_clip_is_no_pickscore():
    with pytest.raises(ValueError, match="coherence is of the type byteedit_coherence_reward, and PickScore is a CLIP"):
        open_reward(f"pickscore:{byteedit.REWARDS}/coherence")
    with pytest.raises(ValueError, match="there is no reward at no/such/folder;"):
        open_reward("pickscore:no/such/folder")


def test_a_folder_without_its_tokenizer_is_refused_in_words(build, tmp_path):
    """transformers makes one of the config's type, which knows nothing but its special tokens."""
    build().model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"the tokenizer .* has 2 tokens, the model has \d+; name the tokenizer"):
        open_reward(str(tmp_path))


def test_a_tokenizer_may_lack_a_few_of_the_models_words_and_have_none_besides(build, tmp_path):
    reward = build()
    reward.tokenizer.save_pretrained(tmp_path)
    words = len(reward.tokenizer)
    for size in (words, words + 2, words * 10 // 9):
        assert len(fitting_tokenizer(tmp_path, size)) == words
    for size in (words - 1, words * 5 // 4):
        with pytest.raises(ValueError, match=f"has {words} tokens, the model has {size};"):
            fitting_tokenizer(tmp_path, size)


def test_the_wrong_number_of_prompts_is_refused_in_words(build):
    with pytest.raises(ValueError, match="2 images came with 1 prompts"):
        build().rate(torch.zeros(2, 3, 16, 16), PROMPTS[:1])
