"""PreferenceReward: gradients, batches, padding, standardisation, saving; and how images are fitted to a reward."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import HfApi, ModelCard
from PIL import Image
from transformers import AutoModel, BertTokenizer, BlipConfig, BlipForImageTextRetrieval, BlipVisionConfig

from byteedit.hub import UNREACHABLE
from byteedit.image import normalize, to_tensor
from byteedit.reading import read_pictures
from byteedit.rewards import PreferenceReward, PreferenceRewardConfig
from byteedit.rewards.opening import open_reward
from byteedit.rewards.pixels import centre, read, resize_and_crop, scaled
from toy_rewards import preference

PROMPTS = ["a red boat on the lake", "a tree", "two green boat by the house"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({word for line in PROMPTS for word in line.split()})]
VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**VISION, "hidden_size": 24, "vocab_size": len(WORDS), "bos_token_id": None, "sep_token_id": None}


def build(**config) -> PreferenceReward:
    """A reward of a few thousand weights, for images of 16 pixels in patches of 4."""
    torch.manual_seed(0)
    vision = {**VISION, "image_size": 16, "patch_size": 4}
    options = {"mlp_widths": (12, 6), "initializer_range": 0.3, **config}
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)})
    return PreferenceReward(PreferenceRewardConfig(vision_config=vision, text_config=TEXT, **options), tokenizer).eval()


def tensor(picture: Image.Image) -> torch.Tensor:
    """(1, 3, H, W) in [-1, 1]."""
    return to_tensor(read_pictures(picture)[0].pixels[None])


@pytest.fixture
def pictures(scene):
    """Three pictures of three sizes, none of them the reward's."""
    return [scene(40, 24, seed=1)[0], scene(16, 23, seed=2)[0], scene(9, 9, seed=3)[0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(16, 16), (37, 29)])
def test_gradients_reach_the_pixels(dtype, size):
    reward = build().to(dtype)
    image = (torch.rand(2, 3, *size) * 2 - 1).to(dtype).requires_grad_()
    score = reward.rate(image, PROMPTS[:2])
    score.sum().backward()
    assert score.shape == (2,) and score.dtype == torch.float32
    assert image.grad.isfinite().all()
    seen = image.grad[..., 4:-4, :].abs().sum(dim=1)  # the crop takes up to 4 rows off each end
    assert (seen > 0).float().mean() > 0.99


def test_an_image_scored_alone_and_in_a_batch_gets_the_same_score(pictures):
    reward = build()
    together = reward.score(pictures, PROMPTS, batch_size=2)
    alone = [reward.score([picture], [prompt])[0] for picture, prompt in zip(pictures, PROMPTS, strict=True)]
    assert together == pytest.approx(alone, abs=1e-5)
    assert max(alone) - min(alone) > 1e-2
    assert reward.score([], []) == []


def test_images_and_prompts_both_matter(pictures):
    scores = build().score([pictures[0], pictures[0], pictures[1]], [PROMPTS[0], PROMPTS[1], PROMPTS[0]])
    assert abs(scores[0] - scores[1]) > 1e-3
    assert abs(scores[0] - scores[2]) > 1e-3


def test_padding_does_not_change_the_score():
    reward = build()
    image = torch.rand(1, 3, 16, 16)
    tokens = reward.tokenize(PROMPTS[:1])
    longer = {name: torch.nn.functional.pad(ids, (0, 9)) for name, ids in tokens.items()}  # 0 is [PAD]
    score = reward(image, **tokens).item()
    assert reward(image, **longer).item() == pytest.approx(score, abs=1e-5)
    assert abs(reward(image, longer["input_ids"]).item() - score) > 1e-3


def test_what_goes_beyond_the_longest_prompt_is_cut_off():
    reward = build(max_length=5)
    assert reward.tokenize(PROMPTS)["input_ids"].shape == (3, 5)
    image = torch.rand(1, 3, 16, 16)
    assert reward.rate(image, ["a red boat on the lake"]).equal(reward.rate(image, ["a red boat by the house"]))


def test_the_score_is_standardised():
    image = torch.rand(2, 3, 16, 16)
    raw = build().rate(image, PROMPTS[:2])
    standard = build(score_mean=0.25, score_std=2.0).rate(image, PROMPTS[:2])
    torch.testing.assert_close(standard, (raw - 0.25) / 2.0)


def test_scoring_knows_no_dropout_and_leaves_the_modes_as_they_were(pictures):
    reward = build(mlp_dropout=0.5)
    expected = reward.score(pictures, PROMPTS)
    reward.train().vision_model.eval()
    assert reward.score(pictures, PROMPTS) == expected
    assert reward.training and reward.mlp[1].training and not reward.vision_model.encoder.training
    assert reward.rate(tensor(pictures[0]), PROMPTS[:1]).item() != pytest.approx(expected[0], abs=1e-6)


@pytest.mark.parametrize(("activation", "affine"), [(None, True), ("gelu", False)])
def test_the_mlp_has_activations_only_where_the_config_names_one(activation, affine):
    mlp = build(mlp_activation=activation).mlp
    with torch.no_grad():
        middle, ends = mlp(torch.zeros(1, 24)), mlp(torch.full((1, 24), 3.0)) + mlp(torch.full((1, 24), -3.0))
    assert bool(torch.isclose(2 * middle, ends, atol=1e-5)) is affine


@pytest.mark.parametrize("opening", [PreferenceReward, AutoModel])
def test_it_comes_back_as_it_was_saved(tmp_path, pictures, opening):
    reward = build(score_mean=0.5, score_std=3.0, mlp_activation="relu", max_length=4)
    reward.save_pretrained(tmp_path)
    again = opening.from_pretrained(tmp_path)
    assert type(again) is PreferenceReward and not again.training
    assert again.score(pictures, PROMPTS) == reward.score(pictures, PROMPTS)


def test_files_of_half_precision_open_in_float32_unless_asked(tmp_path):
    build().half().save_pretrained(tmp_path)
    assert PreferenceReward.from_pretrained(tmp_path).dtype == torch.float32
    assert PreferenceReward.from_pretrained(tmp_path, torch_dtype=torch.bfloat16).dtype == torch.bfloat16
    assert AutoModel.from_pretrained(tmp_path, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_what_is_pushed_opens_again_tokenizer_and_all(tmp_path, pictures, monkeypatch):
    """All but the network: the files of the commit that would be made are a reward."""

    def commit(api, repo_id, operations, **how):
        assert repo_id == "someone/reward"
        for file in operations:
            shutil.copy(file.path_or_fileobj, tmp_path / file.path_in_repo)

    card = ModelCard("---\nlibrary_name: transformers\n---\n")
    monkeypatch.setattr(HfApi, "create_repo", lambda api, repo_id, **how: SimpleNamespace(repo_id=repo_id))
    monkeypatch.setattr(HfApi, "create_commit", commit)
    monkeypatch.setattr("transformers.utils.hub.create_and_tag_model_card", lambda *args, **how: card)
    reward = build()
    reward.push_to_hub("someone/reward")
    assert PreferenceReward.from_pretrained(tmp_path).score(pictures, PROMPTS) == reward.score(pictures, PROMPTS)


def test_without_a_tokenizer_it_says_so(tmp_path):
    reward = build()
    reward.tokenizer = None
    with pytest.raises(ValueError, match="no tokenizer; load it with from_pretrained"):
        reward.rate(torch.zeros(1, 3, 16, 16), ["a tree"])
    with pytest.raises(ValueError, match="no tokenizer to save"):
        reward.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda reward: reward.rate(torch.zeros(2, 3, 16, 16), ["a tree"]), "2 images came with 1 prompts"),
        (lambda reward: reward.rate(torch.zeros(3, 16, 16), ["a tree"] * 3), r"image is \(3, 16, 16\)"),
        (lambda reward: reward.rate(torch.zeros(1, 1, 16, 16), ["a tree"]), r"rewards take \(B, 3, H, W\)"),
        (lambda reward: reward.score([Image.new("RGB", (9, 9))], []), "1 images came with 0 prompts"),
        (lambda reward: reward.score([Image.new("RGB", (9, 9))], "a"), "1 images came with one string"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call(build())


def test_the_defaults_are_imagerewards():
    config = PreferenceRewardConfig()
    vision, text = config.vision_config, config.text_config
    assert (vision.hidden_size, vision.num_hidden_layers, vision.num_attention_heads) == (1024, 24, 16)
    assert (vision.image_size, vision.patch_size, vision.layer_norm_eps) == (224, 16, 1e-6)
    assert (text.hidden_size, text.num_hidden_layers, text.num_attention_heads) == (768, 12, 12)
    assert (text.vocab_size, text.encoder_hidden_size, text.layer_norm_eps) == (30524, 1024, 1e-12)
    assert (tuple(config.mlp_widths), config.mlp_activation, config.max_length) == ((1024, 128, 64, 16), None, 35)


def test_a_config_comes_back_even_where_it_is_blips_own_default(tmp_path):
    PreferenceRewardConfig(vision_config=BlipVisionConfig()).save_pretrained(tmp_path)
    vision = PreferenceRewardConfig.from_pretrained(tmp_path).vision_config
    assert (vision.hidden_size, vision.image_size, vision.layer_norm_eps) == (768, 384, 1e-5)


def test_both_towers_can_be_trained_from_scratch():
    reward = build(initializer_range=0.02)
    weights = [reward.vision_model.encoder.layers[1].mlp.fc1.weight, reward.vision_model.embeddings.class_embedding]
    weights.append(reward.text_model.encoder.layer[1].crossattention.self.key.weight)
    assert all(0.01 < weight.std() < 0.03 for weight in weights)


def test_pretrained_blip_towers_take_their_places():
    blip = BlipForImageTextRetrieval(BlipConfig(text_config=TEXT, vision_config={**VISION, "image_size": 16}))
    config = PreferenceRewardConfig(vision_config=blip.config.vision_config, text_config=blip.config.text_config)
    reward = PreferenceReward(config)
    reward.vision_model.load_state_dict(blip.vision_model.state_dict())
    reward.text_model.load_state_dict(blip.text_encoder.state_dict())
    ours, theirs = reward.text_model.encoder.layer[1], blip.text_encoder.encoder.layer[1]
    assert ours.crossattention.self.key.weight.equal(theirs.crossattention.self.key.weight)


@pytest.mark.parametrize("size", [(16, 16), (40, 24), (24, 41), (9, 13), (300, 200)])
def test_score_and_forward_see_the_same(scene, size):
    """PIL rounds to 8 bits, once for each direction; nothing else may differ on images without hard edges."""
    reward, picture = build(), scene(*size)[0]
    difference = resize_and_crop(tensor(picture), 16)[0] - read(picture, 16)
    assert difference.abs().max() <= 1.25 * 2 / 255
    score = reward.rate(tensor(picture), PROMPTS[:1]).item()
    assert reward.score([picture], PROMPTS[:1]) == pytest.approx([score], abs=2e-2)  # of a spread of 0.3


@pytest.mark.parametrize(
    ("size", "target", "corner"),
    [
        ((224, 224), (224, 224), (0, 0)),
        ((480, 641), (224, 299), (0, 38)),  # 37.5 goes to the even 38
        ((636, 480), (296, 224), (36, 0)),  # 296.8 is rounded down
        ((480, 637), (224, 297), (0, 36)),  # 36.5 goes to the even 36
        ((100, 50), (448, 224), (112, 0)),
    ],
)
def test_sizes_are_rounded_as_torchvision_does(size, target, corner):
    assert scaled(*size, 224) == target
    rows, columns = centre(*target, 224)
    assert (rows.start, columns.start) == corner
    assert (rows.stop - rows.start, columns.stop - columns.start) == (224, 224)


def test_images_are_normalised_as_clip_wants_them():
    grey = normalize(torch.zeros(1, 3, 1, 1), (0.4, 0.5, 0.6), (0.1, 0.2, 0.5)).flatten()
    torch.testing.assert_close(grey, torch.tensor([1.0, 0.0, -0.2]))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UNREACHABLE[0]("[Errno -2] Name or service not known\n\nLook at the documentation."), "service not known$"),
        (ConnectionResetError(), "ConnectionResetError$"),
    ],
)
def test_a_reward_that_the_hub_cannot_be_asked_for_is_named(monkeypatch, error, words):
    def unreachable(*_, **__):
        raise error

    monkeypatch.setattr("byteedit.rewards.opening.PreTrainedConfig.get_config_dict", unreachable)
    with pytest.raises(ValueError, match=rf"there is no reward at owner/name: .*{words}"):
        open_reward("owner/name")


def test_a_rewards_tower_gives_its_layers(tokenizer):
    reward = preference(tokenizer)
    image = torch.rand(2, 3, 40, 30, requires_grad=True)
    found = reward.features(image)
    assert len(found) == reward.config.vision_config.num_hidden_layers
    assert found[0].shape[2] == reward.config.vision_config.hidden_size
    assert not torch.equal(reward.features(image.detach() * 0.5)[-1], found[-1])
    found[-1].sum().backward()
    assert image.grad.abs().sum() > 0


def test_a_tower_that_sees_what_is_left_gets_it_here_too(tokenizer):
    """With a `residual_gain`, twice the channels go in; the last state is then the one that the reward itself reads."""
    reward = preference(tokenizer, stem_widths=(8, 16, 16), residual_gain=16.0)
    image = torch.rand(2, 3, 40, 30) * 2 - 1
    assert reward.pixels(image).shape[1] == 6
    last = reward.vision_model.post_layernorm(reward.features(image)[-1])
    torch.testing.assert_close(last, reward.see(image))
