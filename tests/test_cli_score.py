"""`byteedit score`: a table, JSON and maps, from rewards of random weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BertTokenizer, CLIPConfig, CLIPModel

import byteedit
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


def save_as(mode: str, path: Path) -> None:
    """A picture of 20 x 12 pixels, bright on the left, in a mode; "EXIF" lies on its side until its tag is followed."""
    grey = np.tile(np.linspace(250, 5, 20).astype(np.uint8), (12, 1))  # (12, 20)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "EXIF":
        image = Image.fromarray(np.stack([grey] * 3, axis=-1)).transpose(Image.Transpose.ROTATE_90)
    else:
        image = Image.fromarray(grey).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6 if mode == "EXIF" else 1
    image.save(path, exif=exif)
    assert Image.open(path).mode == ("RGB" if mode == "EXIF" else mode)


@pytest.mark.parametrize("mode", ["L", "I;16", "P", "LA", "CMYK", "EXIF"])
def test_pictures_of_any_mode_get_scores_and_maps(folder, capsys, mode):
    name = "odd.tif" if mode == "CMYK" else "odd.png"
    save_as(mode, folder / name)
    line = f"score {name} first.png --prompt boat --reward pleasing --reward coherent --map maps --json"
    assert main(line.split()) == 0
    row, other = json.loads(capsys.readouterr().out)
    assert np.isfinite([row["pleasing"], row["coherent"]]).all() and row["coherent"] != other["coherent"]
    shown = np.asarray(Image.open("maps/odd-coherent.png")).astype(int)
    assert shown.shape == (12, 20, 3)
    assert shown[:, :5, 0].mean() > shown[:, -5:, 0].mean() + 80  # upright, and as bright as it was
    real = open_reward("coherent").map([Image.open(name)])[0]
    assert np.corrcoef(((shown[..., 0] - shown[..., 1]) / shown[..., 0]).ravel(), real.ravel())[0, 1] < -0.99
    assert (folder / "maps" / "first-coherent.png").is_file()


def test_a_picture_goes_through_the_coherence_reward_once(folder, capsys, monkeypatch):
    seen = []
    look = CoherenceReward.look
    monkeypatch.setattr(
        CoherenceReward, "look", lambda self, image: seen.append(tuple(image.shape)) or look(self, image)
    )
    line = "score first.png second.png first.png --reward coherent --batch-size 2 --json"
    assert main(line.split()) == 0
    alone = json.loads(capsys.readouterr().out)
    (folder / "copies").mkdir()
    Image.open("first.png").save("copies/third.png")
    del seen[:]
    line = "score first.png second.png copies/third.png --reward coherent --batch-size 2 --map maps --json"
    assert main(line.split()) == 0
    assert sorted(seen) == [(1, 3, 30, 40), (1, 3, 30, 40), (1, 3, 50, 33)]
    assert [row["coherent"] for row in json.loads(capsys.readouterr().out)] == [row["coherent"] for row in alone]
    assert sorted(path.name for path in (folder / "maps").iterdir()) == [
        f"{name}-coherent.png" for name in ("first", "second", "third")
    ]
    Image.new("RGB", (40, 30)).save("fourth.png")
    del seen[:]
    assert main(["score", "first.png", "fourth.png", "--reward", "coherent", "--map", "maps"]) == 0
    assert seen == [(2, 3, 30, 40)]  # together, unless --batch-size says otherwise


def test_what_was_finished_is_printed_when_the_rest_fails(folder, capsys, monkeypatch):
    look = CoherenceReward.look
    monkeypatch.setattr(
        CoherenceReward, "look", lambda self, image: 1 / 0 if image.shape[-1] == 33 else look(self, image)
    )
    line = "score first.png second.png --reward coherent --batch-size 1 --map maps"
    assert main(line.split()) == 1
    assert [row.split()[0] for row in capsys.readouterr().out.splitlines()] == ["image", "first.png"]
    assert [path.name for path in (folder / "maps").iterdir()] == ["first-coherent.png"]


def test_rewards_of_one_name_are_told_apart_by_their_folders(folder, capsys):
    for run in ("runs/a/reward", "runs/b/reward", "runs/b/image"):
        shutil.copytree("coherent", run)
    line = (
        "score first.png --reward runs/a/reward --reward runs/b/reward/ --reward runs/b/image --reward coherent --json"
    )
    assert main(line.split()) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert list(row) == ["image", "prompt", "a/reward", "b/reward", "b/image", "coherent"]
    assert row["image"] == "first.png" and row["a/reward"] == row["b/image"] == row["coherent"]
    line = "score first.png --reward runs/a/reward --reward runs/b/reward --reward coherent --map maps"
    assert main(line.split()) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["image", "a/reward", "b/reward", "coherent"]
    assert {path.name for path in (folder / "maps").iterdir()} == {
        f"first-{name}.png" for name in ("a-reward", "b-reward", "coherent")
    }


def test_a_reward_that_ships_goes_by_its_name_and_a_folder_of_that_name_by_its_place(folder, capsys):
    first = Image.open("first.png")
    shutil.copytree("coherent", "coherence")
    assert main(["score", "first.png", "--reward", "coherence", "--json"]) == 0
    shipped = json.loads(capsys.readouterr().out)[0]["coherence"]
    assert main(["score", "first.png", "--reward", "coherence", "--reward", "./coherence", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["coherence"] == shipped == round(open_reward(f"{byteedit.REWARDS}/coherence").score([first])[0], 4)
    assert row[f"{folder.name}/coherence"] == round(open_reward("coherent").score([first])[0], 4) != shipped


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("score first.png other/first.png --reward coherent --map maps", "two maps have the same name"),
        ("score first-x.png first.png --reward coherent --reward x-coherent --map maps", "two maps have the same name"),
        (
            "score first.png first-coherent.png --reward coherent --map .",
            "would overwrite the input first-coherent.png",
        ),
        ("score first.png --reward coherent --map second.png", "--map is the file second.png; maps need a folder"),
        ("score first.png --reward coherent --batch-size 0", "--batch-size is 0; it must be 1 or more"),
        ("score first.png --reward coherent --batch-size -1", "--batch-size is -1; it must be 1 or more"),
        ("score first.png --reward coherent --reward other/../coherent", "two rewards have the same name"),
        ("score first.png --reward image", "or one that of another column"),
    ],
)
def test_wrong_usage_is_one_line_before_anything_is_scored(folder, capsys, line, words):
    shutil.copytree("coherent", "x-coherent")
    (folder / "other").mkdir()
    for copy in ("other/first.png", "first-x.png", "first-coherent.png"):
        shutil.copy("first.png", copy)
    before = (folder / "first-coherent.png").read_bytes()
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert words in err and err.count("\n") == 1 and not out
    assert not (folder / "maps").exists() and (folder / "first-coherent.png").read_bytes() == before


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("score first.png --prompt a --reward pleasing --map maps", 2, "--map needs a coherence reward"),
        ("score nowhere.png --prompt a --reward pleasing", 1, "there is no file nowhere.png."),
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
