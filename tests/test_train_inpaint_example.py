"""The example runs in a tiny form; the presets fit the settings, and the paper's numbers stand in them."""

import runpy
import sys
from pathlib import Path

import pytest

from byteedit.training.settings import read
from byteedit.training.sft import InpaintSettings
from test_edits import metadata_jsonl
from toy_training import fresh  # noqa: F401

EXAMPLE = Path(__file__).parent.parent / "examples" / "train_inpaint.py"
PRESETS = {name: EXAMPLE.parent / "configs" / name / "inpaint.yaml" for name in ("picturebook", "sd15")}


@pytest.fixture
def main(monkeypatch):
    """Function that runs the example with arguments."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *map(str, arguments)])
        runpy.run_path(str(EXAMPLE), run_name="__main__")

    return run


def test_the_example_tunes_on_a_folder_of_pictures(main, pipe, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    pipe.save_pretrained(tmp_path / "base")
    pictures = metadata_jsonl(tmp_path / "pictures")
    arguments = ["--base", tmp_path / "base", "--data", pictures, "--held-out", pictures, "--output", tmp_path / "run"]
    main(PRESETS["picturebook"], *arguments, "--size", 16, "--steps", 2, "--batch-size", 2, "--mask-probs.square", 1)
    assert f"{tmp_path / 'run' / 'unet'}: loss " in capsys.readouterr().out
    assert (tmp_path / "run" / "unet" / "diffusion_pytorch_model.safetensors").is_file()


def test_the_example_asks_for_a_preset(main):
    with pytest.raises(SystemExit, match="Name a preset first"):
        main("--help")


def test_presets_are_settings():
    small, paper = (read(InpaintSettings, PRESETS[name]) for name in ("picturebook", "sd15"))
    assert (small.base, small.data) == ("picturebook", "picturebook")
    assert (paper.lr, paper.warmup, paper.ema_decay) == (2e-6, 1000, 0.9999)
    assert paper.mask_probs["global"] == 0.25
    assert paper.base == "stable-diffusion-v1-5/stable-diffusion-inpainting"
