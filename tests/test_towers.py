"""What `architecture` says beside `model`: it counts where the weights fit all the same, and is refused where not."""

from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

import byteedit
from byteedit.rewards.opening import open_reward
from byteedit.training.reward import RewardSettings
from byteedit.training.settings import read
from byteedit.training.towers import build
from toy_rewards import (
    MLP,
    TEXT,
    VISION,
    CoherenceReward,
    CoherenceRewardConfig,
    coherence,
    preference,
    settings_for,
)

CONFIGS = Path(__file__).parent.parent / "examples" / "configs"
STEM = [8, 16, 8]  # patches of 8


def save_blip(folder, tokenizer, **vision) -> transformers.BlipForImageTextRetrieval:
    """A BLIP for images of 16 pixels in patches of 8, unless `vision` says otherwise."""
    sizes = {"vision_config": VISION | vision, "text_config": TEXT | {"vocab_size": len(tokenizer)}}
    sizes["text_config"] |= {"encoder_hidden_size": 16, "bos_token_id": 0, "sep_token_id": 1, "pad_token_id": 1}
    torch.manual_seed(0)
    blip = transformers.BlipForImageTextRetrieval(transformers.BlipConfig(**sizes)).eval()
    nn.init.normal_(blip.vision_model.embeddings.position_embedding)
    blip.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return blip


@pytest.fixture
def models(tmp_path, tokenizer, monkeypatch):
    """Folders preference, stemmed, coherence, blip and vit, in the current one."""
    monkeypatch.chdir(tmp_path)
    preference(tokenizer).save_pretrained("preference")
    preference(tokenizer, stem_widths=STEM).save_pretrained("stemmed")
    coherence().save_pretrained("coherence")
    save_blip("blip", tokenizer)
    transformers.ViTModel(transformers.ViTConfig(**VISION)).save_pretrained("vit")
    return tmp_path


def built(reward: str, model: str, **architecture):
    return build(settings_for(Path("out"), reward, model=f"./{model}", architecture=architecture)).eval()


def dropouts(module: nn.Module) -> set[float]:
    """How much each Dropout in it drops."""
    return {part.p for part in module.modules() if isinstance(part, nn.Dropout)}


def test_a_preference_reward_is_what_architecture_says_where_its_weights_fit(models):
    text = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}
    model = built(
        "aesthetic",
        "preference",
        text_config=text,
        vision_config={"attention_dropout": 0.2, "hidden_size": 16},
        mlp_widths=(8,),
        mlp_dropout=0.4,
        max_length=5,
        image_mean=[0.1, 0.2, 0.3],
    )
    before = open_reward("preference")
    assert (dropouts(model.text_model), dropouts(model.mlp)) == ({0.3}, set())
    assert dropouts(model.vision_model) == {0.2} != dropouts(before.vision_model)
    assert model.config.mlp_dropout == 0.4 and model.dtype == torch.float32
    assert model.tokenize(["a red boat on the lake by the house"])["input_ids"].shape == (1, 5)
    pixels = torch.zeros(1, 3, 16, 16)
    assert not torch.allclose(model.pixels(pixels), before.pixels(pixels))
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in model.state_dict().items())
    model.save_pretrained("again")
    again = open_reward("again").config
    assert (again.text_config.hidden_dropout_prob, again.mlp_dropout, again.image_mean) == (0.3, 0.4, [0.1, 0.2, 0.3])


def test_dropout_between_the_layers_of_the_head_is_applied(models):
    wide = MLP | {"mlp_widths": [8, 4]}
    blip = built("aesthetic", "blip", **wide | {"mlp_dropout": 0.4})
    assert dropouts(blip.mlp) == {0.4} and blip.mlp[-1].in_features == 4
    blip.save_pretrained("wide")
    assert dropouts(built("aesthetic", "wide", mlp_dropout=0.1).mlp) == {0.1}


@pytest.mark.parametrize("model", ["preference", "stemmed", "blip"])
def test_positions_are_interpolated_for_another_image_size(models, model):
    before = built("aesthetic", model, **MLP).vision_model.embeddings
    wide = built("aesthetic", model, **MLP, vision_config={"image_size": 40}).vision_model.embeddings
    expected = before.interpolate_pos_encoding(torch.zeros(1, 26, 16), 40, 40)
    assert wide.position_embedding.shape == (1, 26, 16)
    torch.testing.assert_close(wide.position_embedding, expected)


def test_a_coherence_reward_is_what_architecture_says_where_its_weights_fit(models):
    before, image = open_reward("./coherence").eval(), torch.rand(1, 3, 24, 24) * 2 - 1
    model = built(
        "coherence", "coherence", image_size=12, image_std=[0.25] * 3, vit_config={"hidden_dropout_prob": 0.2}
    )
    assert model.config.image_size == 12 and dropouts(model.vit) == {0.2}
    assert not torch.allclose(model(image), before(image))
    before.config.image_size, before.config.image_std = 12, [0.25] * 3
    assert torch.equal(model(image), before(image))
    wide = built("coherence", "coherence", vit_config={"image_size": 24})
    assert wide.vit.embeddings.position_embeddings.shape == (1, 10, 16)
    torch.testing.assert_close(wide(image), open_reward("./coherence").eval()(image))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("blip", r"the tokenizer ./blip has 5 tokens, the model has \d+; name the tokenizer that it was trained with"),
        ("preference", r"the tokenizer .*preference cannot be opened \(.*\); name its folder"),
    ],
)
def test_a_folder_without_its_tokenizer_is_refused_in_words(models, model, words):
    for file in (models / model).glob("*token*"):
        file.unlink()
    with pytest.raises(ValueError, match=words):
        built("aesthetic", model, **MLP)


@pytest.mark.parametrize("stem", [(), STEM])
def test_a_coherence_reward_that_goes_on_with_a_residual_sees_as_before_until_it_learns(models, stem):
    first = CoherenceReward(CoherenceRewardConfig(vit_config=VISION, stem_widths=stem)).eval()
    first.save_pretrained("first")
    model, image = built("coherence", "first", residual_gain=32), torch.rand(1, 3, 16, 16)
    assert model.config.residual_gain == 32 and model.config.vit_config.num_channels == 6
    torch.testing.assert_close(model(image), first(image), atol=1e-6, rtol=0)
    model(image).sum().backward()
    assert model.vit.embeddings.patch_embeddings.projection.weight.grad[:, 3:].abs().sum() > 0


def test_towers_of_a_vit_take_what_architecture_says(models):
    model = built("coherence", "vit", image_size=20, residual_gain=8.0, vit_config={"hidden_dropout_prob": 0.1})
    vit = transformers.ViTModel.from_pretrained("vit", add_pooling_layer=False)
    assert (model.config.image_size, model.config.residual_gain, dropouts(model.vit)) == (20, 8.0, {0.1})
    first = model.vit.embeddings.patch_embeddings.projection.weight
    assert torch.equal(first[:, :3], vit.embeddings.patch_embeddings.projection.weight) and not first[:, 3:].any()
    assert torch.equal(model.vit.layernorm.weight, vit.layernorm.weight)


def test_towers_of_a_blip_take_what_architecture_says_of_the_words(models):
    model = built("alignment", "blip", **MLP, text_config={"hidden_dropout_prob": 0.3}, image_mean=[0.5] * 3)
    assert 0.3 in dropouts(model.text_model) and model.config.image_mean == [0.5] * 3
    blip = transformers.BlipForImageTextRetrieval.from_pretrained("blip")
    ours, theirs = model.text_model.state_dict(), blip.text_encoder.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("reward", "model", "architecture", "words"),
    [
        ("aesthetic", "preference", {"vision_config": {"hidden_size": 32}}, "vision_config.hidden_size is 16, not 32"),
        ("aesthetic", "preference", {"mlp_widths": [8, 4]}, r"mlp_widths is \[8\], not \[8, 4\]"),
        ("aesthetic", "preference", {"mlp_activation": "relu"}, "mlp_activation is gelu, not relu"),
        ("aesthetic", "preference", {"stem_widths": STEM}, r"stem_widths is \[\], not \[8, 16, 8\]"),
        ("aesthetic", "preference", {"residual_gain": 8.0}, "residual_gain is 0.0, not 8.0"),
        ("aesthetic", "preference", {"image_size": 24}, "there is no image_size"),
        (
            "aesthetic",
            "preference",
            {"mlp_drop": 0.1, "text_config": {"hidden_act": "relu"}},
            "no mlp_drop; text_config",
        ),
        ("aesthetic", "preference", {"max_length": 17}, "max_length is 17, but ./preference reads 16 tokens at most"),
        ("aesthetic", "blip", {**MLP, "text_config": {"num_hidden_layers": 3}}, "num_hidden_layers is 2, not 3"),
        ("aesthetic", "blip", {**MLP, "vision_config": {"patch_size": 4}}, "vision_config.patch_size is 8, not 4"),
        (
            "aesthetic",
            "blip",
            {**MLP, "stem_widths": STEM, "residual_gain": 8.0},
            r"stem_widths is \[\].*residual_gain",
        ),
        (
            "coherence",
            "coherence",
            {"vit_config": {"num_hidden_layers": 2}},
            "vit_config.num_hidden_layers is 4, not 2",
        ),
        ("coherence", "coherence", {"max_length": 16}, "there is no max_length"),
        ("coherence", "vit", {"stem_widths": STEM}, r"stem_widths is \[\], not \[8, 16, 8\]"),
        ("coherence", "vit", {"vit_config": {"patch_size": 4}}, "vit_config.patch_size is 8, not 4"),
    ],
)
def test_what_the_weights_do_not_fit_is_refused_in_words(models, reward, model, architecture, words):
    with pytest.raises(ValueError, match=words):
        built(reward, model, **architecture)


def test_a_residual_of_another_gain_is_refused_in_words(models):
    built("aesthetic", "stemmed", residual_gain=8.0).save_pretrained("sees")
    assert built("aesthetic", "sees", residual_gain=8).config.residual_gain == 8
    for gain in (16.0, 0.0):
        with pytest.raises(ValueError, match=f"the weights of ./sees do not fit: residual_gain is 8.0, not {gain}"):
            built("aesthetic", "sees", residual_gain=gain)


@pytest.mark.parametrize("name", ["reward_aesthetic", "reward_alignment"])
def test_picturebook_presets_fit_the_reward_that_ships(name):
    """For alignment, it stands in for the tower, which train_tower.py makes of the same preset."""
    settings = read(RewardSettings, CONFIGS / "picturebook" / f"{name}.yaml", ["model=alignment"])
    model, shipped = build(settings).eval(), open_reward(f"{byteedit.REWARDS}/alignment")
    assert model.config.residual_gain == (32 if name == "reward_aesthetic" else 0)
    image = torch.rand(1, 3, 128, 128) * 2 - 1
    torch.testing.assert_close(model.rate(image, ["a red boat"]), shipped.rate(image, ["a red boat"]))
    same = {key: value for key, value in model.state_dict().items() if value.shape == shipped.state_dict()[key].shape}
    assert len(same) >= len(model.state_dict()) - 1
    assert all(torch.equal(value, shipped.state_dict()[key]) for key, value in same.items())


def test_the_discriminator_s_preset_fits_the_reward_that_ships():
    model = build(read(RewardSettings, CONFIGS / "picturebook" / "discriminator.yaml"))
    assert all(
        torch.equal(value, model.state_dict()[key]) for key, value in open_reward("coherence").state_dict().items()
    )


@pytest.mark.parametrize("name", ["reward_aesthetic", "reward_alignment", "reward_coherence"])
def test_paper_scale_presets_fit_a_blip_and_a_vit(tmp_path, tokenizer, name):
    sizes = {"image_size": 384, "patch_size": 32}
    if name == "reward_coherence":
        transformers.ViTModel(transformers.ViTConfig(**VISION | sizes)).save_pretrained(tmp_path)
    else:
        save_blip(tmp_path, tokenizer, **sizes)
    model = build(read(RewardSettings, CONFIGS / "sd15" / f"{name}.yaml", [f"model={tmp_path}"]))
    if name != "reward_coherence":
        assert model.vision_model.embeddings.position_embedding.shape == (1, 1 + 7**2, 16)
