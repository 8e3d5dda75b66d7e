"""What a reward's training is made of: losses against slow references, rows read and cut, layers fixed, towers."""

import io
import math

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image

import byteedit
from byteedit.data.preferences import AESTHETIC
from byteedit.rewards.opening import open_reward
from byteedit.training.augment import Augmentation
from byteedit.training.freezing import freeze
from byteedit.training.reward import (
    Coherence,
    Preference,
    RewardSettings,
    coherence_loss,
    open_rows,
    preference_loss,
)
from byteedit.training.towers import build
from toy_rewards import (
    MLP,
    TEXT,
    VISION,
    aesthetic_rows,
    alignment_rows,
    coherence,
    coherence_rows,
    preference,
    settings_for,
)


def test_the_preference_loss_is_eq_1_and_eq_5():
    chosen, rejected = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.0, 3.0, 0.5])
    slow = [-math.log(1 / (1 + math.exp(-(c - r)))) for c, r in zip(chosen.tolist(), rejected.tolist(), strict=True)]
    assert preference_loss(chosen, rejected).item() == pytest.approx(sum(slow) / 3, rel=1e-6)
    assert preference_loss(torch.tensor([-300.0]), torch.tensor([300.0])).item() == 600  # log s does not overflow


def test_the_coherence_loss_is_eq_6():
    torch.manual_seed(0)
    logits, real = torch.randn(2, 1, 3, 4), (torch.rand(2, 1, 3, 4) > 0.4).float()
    slow = [
        -math.log(1 / (1 + math.exp(-z))) if label else -math.log(1 - 1 / (1 + math.exp(-z)))
        for z, label in zip(logits.flatten().tolist(), real.flatten().tolist(), strict=True)
    ]
    assert coherence_loss(logits, real).item() == pytest.approx(sum(slow) / 24, rel=1e-5)


@pytest.mark.parametrize(("reward", "rows"), [("aesthetic", aesthetic_rows), ("alignment", alignment_rows)])
def test_pairs_are_scored_as_by_rate_and_reach_every_parameter(tokenizer, reward, rows):
    model = preference(tokenizer)
    stage = Preference(reward, model)
    read = [stage.prepare(row, np.random.default_rng(0)) for row in rows(3)]
    batch = torch.utils.data.default_collate(read)
    chosen, rejected = stage.scores(model, batch)
    images = [batch["chosen"], batch["rejected"]] if reward == "aesthetic" else [batch["image"]] * 2
    prompts = [batch["prompt"]] * 2 if reward == "aesthetic" else [batch["caption_chosen"], batch["caption_rejected"]]
    for scores, image, prompt in zip((chosen, rejected), images, prompts, strict=True):
        torch.testing.assert_close(scores, model.rate(image, prompt))
    stage.loss(model, batch)["loss"].backward()
    assert [name for name, value in model.named_parameters() if value.grad is None] == []  # or DDP would stop


def test_coherence_reaches_every_parameter_and_labels_what_is_outside_the_mask_real():
    model = coherence()
    stage = Coherence(model)
    row = coherence_rows(1)[0]
    read = stage.prepare(row, np.random.default_rng(0))
    mask = np.asarray(Image.open(io.BytesIO(row["mask"]["bytes"])))
    assert read["real"].shape == (1, 16, 16)
    assert torch.equal(read["real"][0], torch.from_numpy(mask == 0).float())
    stage.loss(model, torch.utils.data.default_collate([read]))["loss"].backward()
    assert [name for name, value in model.named_parameters() if value.grad is None] == []


def test_image_and_mask_are_cut_alike_and_anew_for_each_generator():
    stage, row = Coherence(coherence(), crop=8), coherence_rows(1, size=32)[0]
    cuts = [stage.prepare(row, np.random.default_rng(seed)) for seed in range(6)]
    for cut in cuts:
        assert cut["image"].shape == (3, 8, 8)
        green = cut["image"][1] - cut["image"][0] > 0.3
        assert torch.equal(green, cut["real"][0] > 0)
    assert len({float(cut["image"].sum()) for cut in cuts}) == 6
    with pytest.raises(ValueError, match=r"an image is \(16, 16\), smaller than crop 24"):
        Coherence(coherence(), crop=24).prepare(coherence_rows(1)[0], np.random.default_rng(0))


def test_pictures_of_a_row_are_mirrored_together(tokenizer):
    mirror = Augmentation(mirror=1.0)
    stages = (Preference("aesthetic", preference(tokenizer), mirror), Coherence(coherence(), augment=mirror))
    for stage, rows in zip(stages, (aesthetic_rows(1), coherence_rows(1)), strict=True):
        seen = stage.prepare(rows[0], np.random.default_rng(0))
        stage.augment = Augmentation()
        for name, part in stage.prepare(rows[0], np.random.default_rng(0)).items():
            if torch.is_tensor(part):
                assert torch.equal(seen[name], part.flip(-1)) and not torch.equal(seen[name], part)


def test_a_shift_keeps_what_the_mask_of_a_row_covers(tokenizer):
    stage = Preference("aesthetic", preference(tokenizer), Augmentation(shift=16))
    size = stage.model.config.vision_config.image_size
    spot = np.zeros((size, size), np.uint8)
    spot[size // 4 : size // 2, 3 : size - 1] = 255  # room for 3 pixels on the left, for 1 on the right
    picture, mask = Image.fromarray(spot).convert("RGB"), Image.fromarray(spot)
    rows = [{"prompt": "", "chosen": picture, "rejected": Image.new("RGB", (size, size)), "mask": mask}]
    row = Dataset.from_list(rows, features=AESTHETIC.features(rows[0], decoded=True))
    row = row.cast(AESTHETIC.features(rows[0]))[0]
    seen = [stage.prepare(row, np.random.default_rng(seed))["chosen"] for seed in range(40)]
    assert all((part > 0.5).sum() >= 3 * (spot > 0).sum() for part in seen)
    firsts = {int((part[0] > 0.5).any(0).nonzero()[0]) for part in seen}
    assert firsts == {0, 1, 2, 3, 4}
    free = [stage.prepare(row | {"mask": None}, np.random.default_rng(seed))["chosen"] for seed in range(40)]
    assert any((part > 0.5).sum() < 3 * (spot > 0).sum() for part in free)


def test_the_pixel_auc_is_the_share_of_pairs_in_order():
    torch.manual_seed(0)
    logits, real = torch.randn(2, 20).round(decimals=1), (torch.rand(2, 20) > 0.5).float()
    ones, zeros = logits[real > 0], logits[real == 0]
    slow = np.mean([(a > b) + 0.5 * (a == b) for a in ones for b in zeros])
    assert Coherence(coherence()).measure(logits, real)["pixel_auc"] == pytest.approx(slow)


def test_a_large_picture_gives_pixels_from_all_over_it_to_the_auc():
    real = (torch.arange(128 * 160).view(1, 1, 128, 160) % 7 < 3).float()
    batch = {"image": torch.zeros(1, 3, 128, 160), "real": real}
    logits, labels = Coherence(coherence()).scores(lambda image: real - 0.5, batch)
    assert torch.equal(labels, real[..., ::3, ::3].flatten(1))
    assert torch.equal(logits, labels - 0.5)


def test_a_share_of_the_layers_is_fixed(tokenizer):
    model = preference(tokenizer)
    freeze(model, 0.7)
    free = {name for name, value in model.named_parameters() if value.requires_grad}
    assert not any("embeddings" in name for name in free)
    assert {name.split(".")[3] for name in free if "vision_model.encoder.layers" in name} == {"2", "3"}
    assert {name.split(".")[3] for name in free if "text_model.encoder.layer" in name} == {"1"}
    assert any(name.startswith("mlp") for name in free)
    vit = coherence()
    freeze(vit, 0.5)
    assert {n.split(".")[2] for n, value in vit.named_parameters() if value.requires_grad and ".layers." in n} == {
        "2",
        "3",
    }
    untouched = preference(tokenizer)
    freeze(untouched, 0.0)
    assert all(value.requires_grad for value in untouched.parameters())


def test_rows_are_opened_and_broken_ones_left_out(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    good, broken = aesthetic_rows(3).to_list(), {"bytes": b"no picture", "path": None}
    rows = Dataset.from_list([*good, good[0] | {"chosen": broken}], features=aesthetic_rows(1).features)
    rows.to_parquet(tmp_path / "test.parquet")
    settings = settings_for(tmp_path, "aesthetic", data=str(tmp_path))
    assert len(open_rows(settings, "test")) == 3
    assert "broken image: 1" in caplog.text


def test_masks_and_pictures_that_do_not_fit_are_left_out(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    good, (small,) = coherence_rows(3, size=32).to_list(), coherence_rows(1).to_list()
    rows = [*good, small, good[0] | {"mask": small["mask"]}]
    Dataset.from_list(rows, features=coherence_rows(1).features).to_parquet(tmp_path / "train.parquet")
    settings = settings_for(tmp_path, "coherence", data=str(tmp_path), crop=24)
    kept = open_rows(settings, "train")
    assert "2 rows skipped (picture smaller than crop: 1, mask of another size: 1)" in caplog.text
    stage = Coherence(coherence(), crop=24)
    assert [stage.prepare(row, np.random.default_rng(0))["real"].shape for row in kept] == [(1, 24, 24)] * 3
    assert len(open_rows(settings_for(tmp_path, "coherence", data=str(tmp_path), crop=16), "train")) == 4
    with pytest.raises(
        ValueError, match=r"no row of the split 'train' that can be used: 5 rows skipped \(picture smal"
    ):
        open_rows(settings_for(tmp_path, "coherence", data=str(tmp_path), crop=33), "train")


def test_new_models_fit_their_tokenizer(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "words")
    architecture = {"vision_config": VISION, "text_config": TEXT} | MLP
    settings = settings_for(tmp_path, "alignment", tokenizer=str(tmp_path / "words"), architecture=architecture)
    model = build(settings)
    assert model.config.text_config.vocab_size == len(tokenizer)
    assert model.rate(torch.zeros(1, 3, 20, 30), ["a red boat"]).shape == (1,)
    shipped = build(settings_for(tmp_path, "alignment", tokenizer="picturebook", architecture=architecture))
    assert shipped.tokenizer.model_max_length == 24


@pytest.mark.parametrize("kind", ["BlipForImageTextRetrieval", "BlipForConditionalGeneration"])
def test_towers_come_from_blip(tokenizer, tmp_path, kind):
    import transformers

    sizes = {"vision_config": VISION | {"image_size": 24}, "text_config": TEXT | {"vocab_size": len(tokenizer)}}
    sizes["text_config"] |= {"encoder_hidden_size": 16, "bos_token_id": 0, "sep_token_id": 1, "pad_token_id": 1}
    torch.manual_seed(0)
    blip = getattr(transformers, kind)(transformers.BlipConfig(**sizes))
    torch.nn.init.normal_(blip.vision_model.embeddings.position_embedding)
    blip.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)

    model = build(settings_for(tmp_path / "out", "aesthetic", model=str(tmp_path), architecture=MLP))
    text = blip.text_decoder.bert if kind == "BlipForConditionalGeneration" else blip.text_encoder
    ours, theirs = model.text_model.state_dict(), text.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    pixels = torch.randn(1, 3, 24, 24)
    torch.testing.assert_close(
        model.vision_model(pixels).last_hidden_state, blip.eval().vision_model(pixels).last_hidden_state
    )
    smaller = MLP | {"vision_config": {"image_size": 16}}
    model = build(settings_for(tmp_path / "out", "aesthetic", model=str(tmp_path), architecture=smaller))
    assert model.vision_model.embeddings.position_embedding.shape == (1, 5, 16)
    assert model.config.vision_config.image_size == 16
    with pytest.raises(ValueError, match="is of type blip; to train coherence, start from a CoherenceReward or a ViT"):
        build(settings_for(tmp_path / "out", "coherence", model=str(tmp_path)))


def test_a_tower_comes_from_vit_and_rewards_go_on_from_rewards(tokenizer, tmp_path):
    from transformers import ViTConfig, ViTModel

    vit = ViTModel(ViTConfig(**VISION))
    vit.save_pretrained(tmp_path / "vit")
    model = build(settings_for(tmp_path / "out", "coherence", model=str(tmp_path / "vit")))
    assert torch.equal(model.vit.layernorm.weight, vit.layernorm.weight)
    assert torch.equal(model.vit.embeddings.cls_token, vit.embeddings.cls_token)
    first = preference(tokenizer)
    first.save_pretrained(tmp_path / "first")
    again = build(settings_for(tmp_path / "out", "aesthetic", model=str(tmp_path / "first")))
    assert torch.equal(again.mlp[0].weight, first.mlp[0].weight)


@pytest.mark.parametrize("name", ["aesthetic", "coherence"])
def test_a_reward_that_ships_goes_by_its_name(tmp_path, name):
    model = build(settings_for(tmp_path / "out", name, model=name))
    shipped = open_reward(f"{byteedit.REWARDS}/{name}")
    assert all(torch.equal(value, shipped.state_dict()[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"standardise": 0}, "standardise is 0; give 2 pairs or more"),
        ({"fix_rate": -0.1}, "fix_rate is -0.1; it is a share, from 0 to 1"),
        ({"mirror": 1.5}, "mirror is 1.5; it is a share, from 0 to 1"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_before_training(wrong, words):
    values = {"reward": "aesthetic", "data": "pairs", "output": "out", "steps": 1, "batch_size": 2, "lr": 1e-3}
    with pytest.raises(ValueError, match=words):
        RewardSettings(**values, **wrong)
