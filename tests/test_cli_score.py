"""`byteedit score`: a table, JSON and maps, from rewards of random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BertTokenizer, CLIPConfig, CLIPModel

from byteedit import picturebook
from byteedit.cli import main
from byteedit.provenance import Record, encode_png
from byteedit.rewards import CoherenceReward, CoherenceRewardConfig, PreferenceReward, PreferenceRewardConfig
from byteedit.rewards.opening import open_reward

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "boat", "green", "tree"]
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
EYE = {**SMALL, "image_size": 16, "patch_size": 8}


@pytest.fixture
def folder(tmp_path, monkeypatch, scene):
    """A folder with a reward of each kind and two pictures, which is the current one."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    text = {**SMALL, "vocab_size": len(WORDS), "bos_token_id": None, "sep_token_id": None}
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)})
    config = PreferenceRewardConfig(vision_config=EYE, text_config=text, mlp_widths=(8,), initializer_range=0.3)
    PreferenceReward(config, tokenizer).save_pretrained("pleasing")
    coherent = CoherenceReward(CoherenceRewardConfig(vit_config=EYE))
    coherent.head[2].weight.data *= 50  # sure of itself
    coherent.save_pretrained("coherent")
    clip = {**text, "projection_dim": 8, "max_position_embeddings": 8, "eos_token_id": 3}
    CLIPModel(CLIPConfig(text_config=clip, vision_config=EYE, projection_dim=8)).save_pretrained("clip")
    tokenizer.save_pretrained("clip")
    scene(40, 30, seed=1)[0].save("first.png")
    scene(33, 50, seed=2)[0].save("second.png")
    return tmp_path


def test_json_has_every_score_and_each_is_the_rewards_own(folder, capsys):
    line = "score first.png second.png --prompt boat --reward pleasing --reward coherent --reward clip --json"
    assert main(line.split()) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["image"] for row in rows] == ["first.png", "second.png"]
    pictures = [Image.open(row["image"]) for row in rows]
    for name in ("pleasing", "coherent", "clip"):
        assert [row[name] for row in rows] == pytest.approx(open_reward(name).score(pictures, ["boat"] * 2), abs=1e-4)
    assert abs(rows[0]["pleasing"] - rows[1]["pleasing"]) > 1e-3


def test_without_a_reward_the_three_that_ship_score(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = picturebook.scene(0, "validation")
    Image.fromarray(page.render()).save("page.png")
    shown = page.things[0]
    other = next(colour for colour in picturebook.COLOURS if colour not in {thing.colour for thing in page.things})
    scores = []
    for prompt in (f"a {shown.colour} {shown.kind}", f"a {other} {shown.kind}"):
        assert main(["score", "page.png", "--prompt", prompt, "--json", "--map", "maps"]) == 0
        scores.append(json.loads(capsys.readouterr().out)[0])
    assert scores[0].keys() >= {"aesthetic", "alignment", "coherence"}
    assert scores[0]["alignment"] > scores[1]["alignment"] + 1
    assert scores[0]["coherence"] == scores[1]["coherence"] > 0
    assert Path("maps/page-coherence.png").is_file()


def test_the_table_has_a_line_for_each_picture(folder, capsys):
    assert main(["score", "first.png", "second.png", "--prompt", "a red boat", "--reward", "./pleasing"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["image", "pleasing"]
    assert first.startswith("first.png ") and second.startswith("second.png ")
    assert first.endswith("a red boat")
    float(first.split()[1])


def test_a_picture_that_byteedit_made_brings_its_prompt(folder, capsys):
    record = Record(command="edit", settings={"prompt": "a green tree", "seed": 1, "model": "m"}, inputs={})
    (folder / "made.png").write_bytes(encode_png(Image.open("first.png"), record))
    assert main(["score", "made.png", "--reward", "pleasing", "--json"]) == 0
    own = json.loads(capsys.readouterr().out)[0]
    assert own["prompt"] == "a green tree"
    assert main(["score", "made.png", "--prompt", "a red boat", "--reward", "pleasing", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["pleasing"] != own["pleasing"]
    assert main(["score", "first.png", "--reward", "pleasing"]) == 2
    assert "first.png does not say what it should show; give --prompt" in capsys.readouterr().err


def test_maps_are_redder_where_pixels_look_generated(folder, capsys):
    assert main(["score", "first.png", "second.png", "--reward", "coherent", "--map", "maps"]) == 0
    shown = np.asarray(Image.open("maps/first-coherent.png")).astype(int)
    assert shown.shape == (30, 40, 3)
    real = open_reward("coherent").map([Image.open("first.png")])[0]
    redness = (shown[..., 0] - shown[..., 1]) / shown[..., 0]
    assert np.corrcoef(redness.ravel(), real.ravel())[0, 1] < -0.99
    assert (folder / "maps" / "second-coherent.png").is_file()


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("score first.png --prompt a --reward pleasing --map maps", 2, "--map needs a coherence reward"),
        ("score nowhere.png --prompt a --reward pleasing", 1, "nowhere.png cannot be read as a picture"),
        ("score first.png --prompt a --reward nowhere", 1, "there is no reward at nowhere"),
        ("score first.png --prompt a --reward other", 1, "is of the type bert; a reward is one of"),
    ],
)
def test_errors_are_one_line(folder, capsys, line, code, words):
    (folder / "other").mkdir()
    (folder / "other" / "config.json").write_text('{"model_type": "bert"}')
    assert main(line.split()) == code
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1
    assert not (folder / "maps").exists()
