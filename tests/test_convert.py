"""ImageReward's file, converted, scores as a plain implementation in its own layout does; bad files are refused."""

import os
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import tyro
from PIL import Image
from transformers import BertTokenizer

from byteedit.cli.convert import Convert
from byteedit.rewards import PreferenceReward
from byteedit.rewards.convert import convert_imagereward

PROMPTS = ["a red boat on the lake", "two green tree", "a boat by the house " * 20]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({word for line in PROMPTS for word in line.split()})]
HEAD, PATCH, SIDE, LENGTH = 8, 4, 16, 35  # channels of a head; pixels; tokens
EYE, READ, HIDDEN = 16, 24, 20  # widths of the vision tower, of the text tower, within their layers
MLP = {0: (READ, 14), 2: (14, 10), 4: (10, 8), 6: (8, 6), 7: (6, 1)}


# A file in ImageReward's layout


def published() -> dict[str, torch.Tensor]:
    """Random weights under ImageReward's names: two layers in each tower, all sizes tiny."""
    generator = torch.Generator().manual_seed(0)
    weights = {}

    def add(name: str, *shape: int, around: float = 0.0) -> None:
        weights[name] = around + 0.4 * torch.randn(shape, generator=generator)

    def linear(name: str, inputs: int, outputs: int) -> None:
        add(f"{name}.weight", outputs, inputs)
        add(f"{name}.bias", outputs)

    def norm(name: str, width: int) -> None:
        add(f"{name}.weight", width, around=1.0)
        add(f"{name}.bias", width)

    eye, text = "blip.visual_encoder", "blip.text_encoder"
    add(f"{eye}.cls_token", 1, 1, EYE)
    add(f"{eye}.pos_embed", 1, (SIDE // PATCH) ** 2 + 1, EYE)
    add(f"{eye}.patch_embed.proj.weight", EYE, 3, PATCH, PATCH)
    add(f"{eye}.patch_embed.proj.bias", EYE)
    for block in (f"{eye}.blocks.{i}" for i in range(2)):
        norm(f"{block}.norm1", EYE)
        linear(f"{block}.attn.qkv", EYE, 3 * EYE)
        linear(f"{block}.attn.proj", EYE, EYE)
        norm(f"{block}.norm2", EYE)
        linear(f"{block}.mlp.fc1", EYE, HIDDEN)
        linear(f"{block}.mlp.fc2", HIDDEN, EYE)
    norm(f"{eye}.norm", EYE)
    add(f"{text}.embeddings.word_embeddings.weight", len(WORDS) + 2, READ)
    add(f"{text}.embeddings.position_embeddings.weight", LENGTH + 5, READ)
    norm(f"{text}.embeddings.LayerNorm", READ)
    for layer in (f"{text}.encoder.layer.{i}" for i in range(2)):
        for attention, width in (("attention", READ), ("crossattention", EYE)):
            linear(f"{layer}.{attention}.self.query", READ, READ)
            linear(f"{layer}.{attention}.self.key", width, READ)
            linear(f"{layer}.{attention}.self.value", width, READ)
            linear(f"{layer}.{attention}.output.dense", READ, READ)
            norm(f"{layer}.{attention}.output.LayerNorm", READ)
        linear(f"{layer}.intermediate.dense", READ, HIDDEN)
        linear(f"{layer}.output.dense", HIDDEN, READ)
        norm(f"{layer}.output.LayerNorm", READ)
    for number, (inputs, outputs) in MLP.items():
        linear(f"mlp.layers.{number}", inputs, outputs)
    linear("blip.vision_proj", EYE, 4)  # in the file, but of no use to the score
    weights[f"{text}.embeddings.position_ids"] = torch.arange(LENGTH + 5)[None]
    return weights


# The slow, obvious twin: ImageReward's forward pass on that file, after its paper


class Twin:
    """Scores of one picture and prompt at a time, straight from the named weights."""

    def __init__(self, weights: dict[str, torch.Tensor], tokenizer):
        self.weights, self.tokenizer = weights, tokenizer

    def linear(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name, x, eps):
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], eps)

    def attend(self, query, key, value, hidden=None):
        """(n, d), (m, d), (m, d) -> (n, d); `hidden` (m,) marks what may not be looked at."""
        heads = []
        for q, k, v in zip(query.split(HEAD, -1), key.split(HEAD, -1), value.split(HEAD, -1), strict=True):
            logits = q @ k.T / HEAD**0.5
            if hidden is not None:
                logits = logits.masked_fill(hidden, -1e9)
            heads.append(logits.softmax(-1) @ v)
        return torch.cat(heads, -1)

    def look(self, picture: Image.Image) -> torch.Tensor:  # (N, EYE)
        name, pixels = "blip.visual_encoder", self.prepare(picture)
        proj = self.weights[f"{name}.patch_embed.proj.weight"], self.weights[f"{name}.patch_embed.proj.bias"]
        x = F.conv2d(pixels[None], *proj, stride=PATCH)[0].flatten(1).T
        x = torch.cat([self.weights[f"{name}.cls_token"][0], x]) + self.weights[f"{name}.pos_embed"][0]
        for block in (f"{name}.blocks.{i}" for i in range(2)):
            qkv = self.linear(f"{block}.attn.qkv", self.norm(f"{block}.norm1", x, 1e-6))
            x = x + self.linear(f"{block}.attn.proj", self.attend(*qkv.chunk(3, -1)))
            inner = F.gelu(self.linear(f"{block}.mlp.fc1", self.norm(f"{block}.norm2", x, 1e-6)))
            x = x + self.linear(f"{block}.mlp.fc2", inner)
        return self.norm(f"{name}.norm", x, 1e-6)

    @staticmethod
    def prepare(picture: Image.Image) -> torch.Tensor:  # (3, SIDE, SIDE)
        width, height = picture.size
        if width <= height:
            picture = picture.resize((SIDE, int(SIDE * height / width)), Image.Resampling.BICUBIC)
        else:
            picture = picture.resize((int(SIDE * width / height), SIDE), Image.Resampling.BICUBIC)
        left, top = round((picture.width - SIDE) / 2), round((picture.height - SIDE) / 2)
        pixels = np.asarray(picture.crop((left, top, left + SIDE, top + SIDE)), np.float32) / 255
        mean, std = np.float32([0.48145466, 0.4578275, 0.40821073]), np.float32([0.26862954, 0.26130258, 0.27577711])
        return torch.from_numpy((pixels - mean) / std).permute(2, 0, 1)

    def read(self, prompt: str, seen: torch.Tensor) -> torch.Tensor:  # (LENGTH, READ)
        name = "blip.text_encoder"
        tokens = self.tokenizer(prompt, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
        hidden = tokens.attention_mask[0] == 0
        x = self.weights[f"{name}.embeddings.word_embeddings.weight"][tokens.input_ids[0]]
        x = x + self.weights[f"{name}.embeddings.position_embeddings.weight"][:LENGTH]
        x = self.norm(f"{name}.embeddings.LayerNorm", x, 1e-12)
        for layer in (f"{name}.encoder.layer.{i}" for i in range(2)):
            for part, source, mask in (("attention", None, hidden), ("crossattention", seen, None)):
                source, own = x if source is None else source, f"{layer}.{part}.self"
                query, key, value = (
                    self.linear(f"{own}.query", x),
                    *(self.linear(f"{own}.{kind}", source) for kind in ("key", "value")),
                )
                answer = self.linear(f"{layer}.{part}.output.dense", self.attend(query, key, value, mask))
                x = self.norm(f"{layer}.{part}.output.LayerNorm", x + answer, 1e-12)
            inner = self.linear(f"{layer}.output.dense", F.gelu(self.linear(f"{layer}.intermediate.dense", x)))
            x = self.norm(f"{layer}.output.LayerNorm", x + inner, 1e-12)
        return x

    def score(self, picture: Image.Image, prompt: str) -> float:
        x = self.read(prompt, self.look(picture))[0]
        for number in MLP:
            x = self.linear(f"mlp.layers.{number}", x)
        return (x.item() - 0.16717362830052426) / 1.0333394966054072


# The tests


@pytest.fixture
def words(tmp_path):
    """Folder of a BERT tokenizer without BLIP's two tokens."""
    folder = tmp_path / "words"
    BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)}).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def convert(tmp_path, words):
    """Function that saves weights as a .pt file, converts it, and returns the folder: convert(weights)."""

    def convert(weights, **options):
        torch.save(weights, tmp_path / "ImageReward.pt", **options)
        output = tmp_path / "made" / "out"
        convert_imagereward(tmp_path / "ImageReward.pt", output, tokenizer=words, head_width=HEAD)
        return output

    return convert


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old format"])
def test_it_scores_as_the_published_layout_does(convert, scene, zipped):
    weights = published()
    reward = PreferenceReward.from_pretrained(convert(weights, _use_new_zipfile_serialization=zipped))
    pictures = [scene(*size, seed=i)[0] for i, size in enumerate([(16, 16), (40, 25), (23, 31)])]
    twin = Twin(weights, reward.tokenizer)
    expected = [twin.score(picture, prompt) for picture, prompt in zip(pictures, PROMPTS, strict=True)]
    assert reward.score(pictures, PROMPTS) == pytest.approx(expected, abs=1e-4)
    assert max(expected) - min(expected) > 0.1


def test_the_folder_holds_sizes_mean_std_and_vocabulary(convert):
    reward = PreferenceReward.from_pretrained(convert(published()))
    config = reward.config
    assert (config.vision_config.image_size, config.vision_config.num_attention_heads) == (SIDE, EYE // HEAD)
    assert (config.score_mean, config.score_std) == (0.16717362830052426, 1.0333394966054072)
    assert (config.vision_config.layer_norm_eps, config.text_config.layer_norm_eps) == (1e-6, 1e-12)
    assert list(config.mlp_widths) == [14, 10, 8, 6]
    assert reward.tokenizer.convert_tokens_to_ids(["[DEC]", "[ENC]"]) == [len(WORDS), len(WORDS) + 1]


def test_the_command_converts_and_says_where(tmp_path, words, capsys):
    torch.save(published(), tmp_path / "ImageReward.pt")
    paths = [str(tmp_path / "ImageReward.pt"), str(tmp_path / "out")]
    arguments = ["imagereward", *paths, "--tokenizer", words, "--head-width", str(HEAD)]
    tyro.cli(Convert, args=arguments).run()
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'out'}: 0.")
    assert {file.name for file in (tmp_path / "out").iterdir()} >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }
    assert len(list(tmp_path.iterdir())) == 3  # the file, the tokenizer and the folder: nothing else is left


class Touch:
    """What unpickles into a call of os.mkdir."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["torch", "pickle", "text", "empty", "cut off"])
def test_a_file_that_is_more_or_less_than_tensors_is_not_opened(tmp_path, words, how):
    file, trap = tmp_path / "ImageReward.pt", tmp_path / "trap"
    if how == "torch":
        torch.save(published() | {"mlp.layers.8.bias": Touch(trap)}, file)
    elif how == "cut off":
        torch.save(published(), file)
        file.write_bytes(file.read_bytes()[:5000])
    else:
        file.write_bytes({"pickle": pickle.dumps(Touch(trap), protocol=2), "text": b"hello\n", "empty": b""}[how])
    with pytest.raises(ValueError, match="holds more than tensors, or is broken, and was not opened"):
        convert_imagereward(file, tmp_path / "out", tokenizer=words, head_width=HEAD)
    assert not trap.exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda w: w.pop("blip.visual_encoder.blocks.1.attn.qkv.bias"), "lacks blip.visual_encoder.blocks.1.attn.qkv"),
        (lambda w: w.pop("blip.visual_encoder.pos_embed"), "lacks blip.visual_encoder.pos_embed; it is not laid out"),
        (lambda w: w.pop("mlp.layers.7.weight"), "lacks mlp.layers.7.weight; it is not laid out as ImageReward is"),
        (lambda w: w.update({"mlp.layers.2.weight": torch.zeros(10, 9)}), r"\(10, 9\).* must be \(10, 14\)"),
        (lambda w: w.update({"blip.visual_encoder.pos_embed": torch.zeros(1, 8, EYE)}), r"\(1, 8, 16\).*\(1, 5, 16\)"),
        (lambda w: w.update({"blip.visual_encoder.cls_token": torch.zeros(EYE)}), r"\(16,\).*must be \(1, 1, 16\)"),
        (lambda w: w.update({"blip.visual_encoder.pos_embed": torch.zeros(8)}), r"\(8,\); 3 axes were expected"),
        (
            lambda w: w.update({"mlp.layers.9.weight": torch.zeros(1)}),
            "has mlp.layers.9.weight, which ImageReward does",
        ),
        (lambda w: w.update({"extra": 3}), "is no dictionary of tensors"),
        (lambda w: w.clear(), "lacks blip.visual_encoder.patch_embed.proj.weight"),
    ],
)
def test_a_file_of_another_layout_is_refused_in_words(convert, tmp_path, spoil, message):
    weights = published()
    spoil(weights)
    with pytest.raises(ValueError, match=message):
        convert(weights)
    assert not (tmp_path / "made").exists()


def test_options_that_do_not_fit_are_refused_in_words(tmp_path, words):
    file, out = tmp_path / "ImageReward.pt", tmp_path / "out"
    with pytest.raises(ValueError, match="there is no file"):
        convert_imagereward(file, out)
    torch.save(published(), file)
    with pytest.raises(ValueError, match="16 channels cannot be shared out among attention heads of 64"):
        convert_imagereward(file, out, tokenizer=words)
    with pytest.raises(ValueError, match=r"the tokenizer .*nowhere cannot be opened"):
        convert_imagereward(file, out, tokenizer=str(tmp_path / "nowhere"), head_width=HEAD)
    BertTokenizer(vocab={word: i for i, word in enumerate(WORDS[:9])}).save_pretrained(tmp_path / "few")
    with pytest.raises(ValueError, match=r"has 11 tokens with \[DEC\] and \[ENC\], the file has 18"):
        convert_imagereward(file, out, tokenizer=str(tmp_path / "few"), head_width=HEAD)
    assert not out.exists()
    out.mkdir()
    with pytest.raises(ValueError, match="exists already; name a new folder"):
        convert_imagereward(file, out, tokenizer=words, head_width=HEAD)
