"""What the command line records in a picture, and how it makes the picture again from that."""

import json

import numpy as np
import pytest
from PIL import Image

from byteedit.cli import main
from byteedit.provenance import read_record
from test_cli_pictures import EDIT, byteedit, last_line, pixels
from test_schedule import lora_of


@pytest.mark.parametrize(
    "line",
    [
        f"{EDIT} --seed 3 --steps 3 --guidance-scale 1.5 --negative-prompt grass",
        "erase photo.png --mask mask.png --model model --output out.png",
        "outpaint photo.png --size 90x60 --anchor bottom --prompt 'a tree' --model model --output out.png",
    ],
)
def test_replay_makes_the_same_picture_again(folder, capsys, line):
    byteedit(line)
    byteedit("edit --replay out.png")
    assert last_line(capsys).endswith("identical to out.png")
    assert np.array_equal(pixels("out.png"), pixels("out-replay.png"))
    first, second = read_record(folder / "out.png"), read_record(folder / "out-replay.png")
    assert (first.command, first.settings, first.inputs) == (second.command, second.settings, second.inputs)


def test_replay_says_when_the_picture_differs(folder, capsys, pipe):
    import torch

    byteedit(f"{EDIT} --seed 3")
    with torch.no_grad():
        pipe.unet.conv_out.bias.add_(1.0)
    pipe.save_pretrained("model")
    byteedit("edit --replay out.png --output new.png")
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].endswith("NOT identical to out.png")
    assert "the device, the processor or the model may be another" in err


def test_replay_refuses_a_changed_input(folder, capsys):
    byteedit(f"{EDIT} --seed 3")
    Image.new("L", (70, 50), 255).save("mask.png")
    assert main(["edit", "--replay", "out.png"]) == 1
    assert "out.png was made from another mask.png" in capsys.readouterr().err
    assert not (folder / "out-replay.png").exists()


def test_the_png_says_how_it_was_made(folder):
    byteedit(f"{EDIT} --seed 3")
    info = Image.open("out.png").info
    assert (info["Description"], info["Seed"], info["Model"]) == ("a red boat", "3", "model")
    record = json.loads(info["byteedit"])
    assert record["command"] == "edit"
    assert set(record["inputs"]) == {"photo.png", "mask.png"}
    assert record["settings"]["prompt"] == "a red boat"
    assert "output" not in record["settings"]
    assert record["versions"]["byteedit"]


def test_loras_change_the_picture_by_their_weight_and_are_replayed(folder, pipe, capsys):
    import torch
    from peft import LoraConfig, get_peft_model_state_dict

    pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"]))
    for name, weight in pipe.unet.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(0))
    pipe.save_lora_weights("lora", unet_lora_layers=get_peft_model_state_dict(pipe.unet))
    file = "lora/pytorch_lora_weights.safetensors"
    byteedit(f"{EDIT} --seed 3")
    byteedit(f"{EDIT.replace('out.png', 'none.png')} --seed 3 --lora {file}:0")
    byteedit(f"{EDIT.replace('out.png', 'half.png')} --seed 3 --lora {file}:0.5")
    byteedit(f"{EDIT.replace('out.png', 'twice.png')} --seed 3 --lora {file}:0.25 --lora {file}:0.25")
    assert np.array_equal(pixels("out.png"), pixels("none.png"))
    assert not np.array_equal(pixels("out.png"), pixels("half.png"))
    assert np.abs(pixels("half.png").astype(int) - pixels("twice.png")).max() <= 1
    byteedit("edit --replay half.png")
    assert last_line(capsys).endswith("identical to half.png")
    assert file in read_record(folder / "half.png").inputs


@pytest.mark.parametrize("name", ["lora", "./lora", "./lora/pytorch_lora_weights.safetensors"])
def test_a_lora_is_found_beside_the_result_that_was_made_with_it(folder, capsys, monkeypatch, name):
    lora_of(folder / "made" / "lora")
    monkeypatch.chdir(folder / "made")
    line = f"edit ../photo.png --mask ../mask.png --model {folder / 'model'} --prompt x --output out.png --seed 3"
    byteedit(f"{line} --lora {name}")
    monkeypatch.chdir(folder / "model")
    byteedit("edit --replay ../made/out.png")
    assert last_line(capsys).endswith("identical to ../made/out.png")
