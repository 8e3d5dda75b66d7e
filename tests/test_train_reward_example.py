"""The example and `byteedit train reward` run in a tiny form; the presets fit the settings and the promised sizes."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from datasets import Dataset
from PIL import Image
from scipy.stats import binomtest

from byteedit.cli import main
from byteedit.data.preferences import AESTHETIC
from byteedit.rewards import PreferenceReward
from byteedit.training.reward import RewardSettings
from byteedit.training.settings import read
from byteedit.training.towers import build

EXAMPLES = Path(__file__).parent.parent / "examples"
PICTUREBOOK = sorted((EXAMPLES / "configs" / "picturebook").glob("reward_*.yaml"))
PRESETS = [*PICTUREBOOK, *sorted((EXAMPLES / "configs" / "sd15").glob("reward_*.yaml"))]

TINY = """
reward: aesthetic
tokenizer: picturebook
architecture:
  vision_config: {image_size: 16, patch_size: 8, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2}
  text_config: {hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 2}
  mlp_widths: [8]
steps: 6
batch_size: 4
lr: 1e-3
"""


def reset():
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """accelerate keeps precision and accumulation for the whole process, and `datasets` a cache at home."""
    reset()
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    yield
    reset()


@pytest.fixture
def preset(tmp_path):
    """A preset for a data set of eight pairs, bright ones chosen."""
    rng = np.random.default_rng(0)
    for split in ("train", "validation"):
        light, dark = (
            [Image.fromarray(rng.integers(low, low + 50, (16, 16, 3)).astype(np.uint8)) for _ in range(8)]
            for low in (180, 20)
        )
        columns = {"prompt": ["a boat"] * 8, "chosen": light, "rejected": dark}
        features = AESTHETIC.features(AESTHETIC.required, decoded=True)
        Dataset.from_dict(columns, features=features).to_parquet(tmp_path / f"{split}.parquet")
    file = tmp_path / "tiny.yaml"
    file.write_text(f"{TINY}data: {tmp_path}\noutput: {tmp_path / 'run'}\n")
    return file


def run_example(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["train_reward.py", *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / "train_reward.py"), run_name="__main__")


def test_the_example_trains_a_reward_that_opens(preset, tmp_path, monkeypatch, capsys):
    run_example(monkeypatch, preset, "--steps", 4, "--lr", 0.01, "--output", tmp_path / "other")
    assert f"{tmp_path / 'other' / 'reward'}: pair_accuracy " in capsys.readouterr().out
    reward = PreferenceReward.from_pretrained(tmp_path / "other" / "reward")
    assert reward.config.vision_config.image_size == 16
    assert len(reward.score([Image.new("RGB", (40, 30))], ["a boat"])) == 1
    card = (tmp_path / "other" / "reward" / "README.md").read_text()
    assert "Held-out numbers" in card and "| steps | 4 |" in card and "| lr | 0.01 |" in card
    assert "the numbers are of the 8 rows of split validation" in card
    [told] = re.findall(r"95 % interval of pair_accuracy: (.*) to (.*) \|", card)
    accuracy = float(re.search(r"\| pair_accuracy \| (.*) \|", card)[1])
    interval = binomtest(round(8 * accuracy), 8).proportion_ci(method="wilson")
    assert told == (f"{interval.low:.3f}", f"{interval.high:.3f}")


def test_the_example_asks_for_a_preset(monkeypatch):
    with pytest.raises(SystemExit, match="Name a preset first"):
        run_example(monkeypatch, "--help")


def test_the_command_trains_a_reward(preset, tmp_path, capsys):
    assert main(["train", "reward", str(preset), "--set", "steps=4", "--set", "lr=1e-2"]) == 0
    printed = capsys.readouterr().out
    assert "pair_accuracy" in printed and "on 8 held-out rows" in printed
    assert str(tmp_path / "run" / "reward") in printed
    assert (tmp_path / "run" / "checkpoints" / "step-00000004").is_dir()


def test_the_command_lists_its_settings_and_trains_nothing(preset, tmp_path, capsys):
    assert main(["train", "reward", str(preset), "--set", "lr=0.125", "--settings"]) == 0
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "lr FLOAT Peak learning rate of AdamW. (default: 0.125)" in printed
    assert "batch_size INT Rows that a process takes at once." in printed
    assert "--batch_size" not in printed and "--help" not in printed
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_presets_are_settings(preset):
    settings = read(RewardSettings, preset)
    assert settings.reward in preset.stem
    assert settings.watch in ("pair_accuracy", "pixel_auc")
    if preset.parent.name == "sd15" and settings.reward != "coherence":
        assert settings.batch_size * settings.accumulate == 64
        assert (settings.lr, settings.fix_rate) == (1e-5, 0.7)


def test_the_three_picturebook_rewards_are_12_mb_together_at_most():
    with torch.device("meta"):
        sizes = [build(read(RewardSettings, preset, ["model="])).num_parameters() for preset in PICTUREBOOK]
    assert len(sizes) == 3
    assert 2 * sum(sizes) < 11e6  # float16; the rest is for tokenizers and configs
