"""The example and `byteedit train pefl` run in a tiny form; the presets fit the settings; the LoRA fits in 3 MB."""

import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image

import byteedit
from byteedit.cli import main as command
from byteedit.schedule import Schedule
from byteedit.training.adapters import LoraSettings, add_lora, save_lora
from byteedit.training.boost import PeflSettings
from byteedit.training.run import train_pefl
from byteedit.training.settings import read
from test_edits import metadata_jsonl
from toy_rewards import preference
from toy_training import fresh  # noqa: F401

EXAMPLE = Path(__file__).parent.parent / "examples" / "train_pefl.py"
BOOST = ("boost", "boost_whole")
PRESETS = {name: EXAMPLE.parent / "configs" / name / "pefl.yaml" for name in ("picturebook", "sd15")}
TINY = """
size: 16
steps: 2
batch_size: 2
T: 3
T1: 2
T2: 1
lr: 1e-3
rank: 2
held_out_rows: 2
features: mine
rewards: {mine: 1}
"""


@pytest.fixture
def places(pipe, tokenizer, tmp_path, monkeypatch):
    """A base, a reward and pictures, and nothing but the processor."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    pipe.save_pretrained(tmp_path / "base")
    preference(tokenizer).save_pretrained(tmp_path / "mine")
    pictures = metadata_jsonl(tmp_path / "pictures")
    return {"base": tmp_path / "base", "data": pictures, "held_out": pictures, "output": tmp_path / "run"}


@pytest.fixture
def preset(places, tmp_path):
    file = tmp_path / "tiny.yaml"
    lines = [f"{name}: {place}" for name, place in places.items()]
    file.write_text("\n".join([TINY, f"reward_models: {{mine: {tmp_path / 'mine'}}}", *lines]))
    return file


def run_example(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *map(str, arguments)])
    runpy.run_path(str(EXAMPLE), run_name="__main__")


def test_the_example_boosts_a_model_on_a_folder_of_pictures(preset, places, monkeypatch, capsys):
    run_example(monkeypatch, preset, "--lr", 0.01, "--rewards.mine", 0.5, "--half")
    folder = places["output"] / "lora"
    assert f"{folder}: score/mine " in capsys.readouterr().out
    card = ModelCard.load(folder / "README.md")
    assert card.data.tags == ["byteedit", "image-inpainting", "stable-diffusion", "diffusers", "lora"]
    for words in ("on mine (weight 0.5)", "| score/mine, before |", "| lr | 0.01 |", f'load_lora_weights("{folder}")'):
        assert words in card.text
    before, after = (Image.open(folder / f"sample-{number}.png") for number in (1, 2))
    assert before.size == after.size == (2 * (2 * 16 + 4) - 4, 16)


def test_the_command_does_the_same_and_pushes_where_it_is_told(preset, places, monkeypatch, capsys):
    pushed = []
    monkeypatch.setattr("byteedit.training.cards.push", lambda folder, name: pushed.append((folder, name)) or "there")
    assert command(["train", "pefl", str(preset), "--set", "rank=0", "--set", "push=me/boosted"]) == 0
    folder = places["output"] / "unet"
    assert pushed == [(folder, "me/boosted")]
    assert f"{folder}: score/mine " in capsys.readouterr().out
    card = (folder / "README.md").read_text()
    assert 'UNet2DConditionModel.from_pretrained("me/boosted")' in card and "pipe.follow" not in card


def test_the_card_of_all_weights_says_how_they_are_to_be_asked(preset, places):
    train_pefl(read(PeflSettings, preset, ["rank=0", "timestep_spacing=trailing", "guidance_scale=1.5"]))
    card = (places["output"] / "unet" / "README.md").read_text()
    assert "To be used with guidance 1.5, as below." in card
    names = {}
    exec(re.search(r"```python\n(.*?)```", card, re.DOTALL)[1], names)
    schedule = names["pipe"].schedule
    assert (schedule.guidance_scale, schedule.timestep_spacing) == (1.5, "trailing")


def test_a_card_speaks_of_no_guidance_that_it_does_not_set(preset, places):
    train_pefl(read(PeflSettings, preset, ["rank=0", "timestep_spacing=trailing"]))
    assert "To be used as below." in (places["output"] / "unet" / "README.md").read_text()


def test_a_judge_comes_from_outside(preset):
    measures = train_pefl(read(PeflSettings, preset, ["watch=gold"]), judge=lambda pipe: {"gold": 0.5})
    assert measures["gold"] == 0.5


def test_a_reward_that_is_not_there_fails_in_one_line(preset, capsys):
    assert command(["train", "pefl", str(preset), "--set", "rewards={beauty: 1}"]) == 1
    err = capsys.readouterr().err
    assert "rewards has beauty, which is none of aesthetic, alignment, coherence" in err and err.count("\n") == 1


def test_the_example_asks_for_a_preset(monkeypatch):
    with pytest.raises(SystemExit, match="Name a preset first"):
        run_example(monkeypatch, "--help")
    with pytest.raises(SystemExit, match=r"there is no preset nowhere\.yaml"):
        run_example(monkeypatch, "nowhere.yaml")


def test_presets_are_settings():
    small, paper = (read(PeflSettings, PRESETS[name]) for name in ("picturebook", "sd15"))
    for settings in (small, paper):
        assert (settings.T, settings.T1, settings.T2, settings.weight) == (20, 15, 10, 0.01)
    assert (small.base, small.data, small.rewards) == ("picturebook", "picturebook", {"aesthetic": 1, "alignment": 1})
    assert all(small.locate_reward(name) == f"{byteedit.REWARDS}/{name}" for name in [*small.rewards, "coherence"])
    assert (paper.lr, paper.warmup, paper.ema_decay, paper.rank) == (2e-6, 1000, 0.9999, 0)
    assert paper.features == "timm/vgg16.tv_in1k"
    assert paper.locate_reward("imagereward") == "imagereward"


def test_the_unifl_preset_is_the_papers_but_for_what_it_says():
    paper = read(PeflSettings, PRESETS["sd15"])
    unifl = read(PeflSettings, PRESETS["sd15"].with_name("pefl_unifl.yaml"), ["lr=1e-5"])
    said = {"T1": 10, "T2": 6, "reward_shape": "hinge", "output": Path(".runs/sd15/pefl_unifl"), "lr": 1e-5}
    assert unifl == replace(paper, **said)


def test_whole_rollouts_of_the_boost_are_asked_as_it_recommends():
    before, whole = (read(PeflSettings, PRESETS["picturebook"].with_name(f"{name}.yaml")) for name in BOOST)
    assert whole.tuned == f"{before.output}/lora"
    assert whole.recommends == before.recommends
    used = Schedule(num_inference_steps=20, **whole.recommends).asked(num_inference_steps=whole.T)
    assert (whole.rollout_guidance, whole.rollout_guidance_end) == (used.guidance_scale, used.guidance_end)
    assert whole.noise_scale == pytest.approx(used.noise_scale, abs=0.005)
    assert whole.grad_steps == whole.T


def test_the_picturebooks_lora_is_3_mb_at_most(tmp_path):
    settings = read(PeflSettings, PRESETS["picturebook"])
    assert settings.half and {*LoraSettings.targets} < {*settings.targets}
    unet = byteedit.ByteEditInpaintPipeline.from_pretrained(byteedit.PICTUREBOOK).unet
    add_lora(unet, settings)
    assert save_lora(unet, tmp_path, torch.float16).stat().st_size < 3e6
