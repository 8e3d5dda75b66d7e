"""What is opened by its name: names that come near one, such as those of what a training wrote, are told what to do."""

import re

import pytest

from byteedit.hub import UNREACHABLE, asked_for
from byteedit.pipeline.opening import locate_lora, locate_model

FILES = (
    "lora-run/lora/pytorch_lora_weights.safetensors",
    "fast-run/eight/lora/pytorch_lora_weights.safetensors",
    "fast-run/four/lora/pytorch_lora_weights.safetensors",
)


@pytest.fixture
def runs(pipe, tmp_path, monkeypatch):
    """What trainings write, in the current folder, and a whole model."""
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    pipe.unet.save_pretrained("unet-run/unet")
    pipe.save_pretrained("model")


@pytest.mark.parametrize(
    ("locate", "name", "words"),
    [
        (locate_model, "unet-run", "unet-run/unet is a UNet alone, no model; put it into its pipeline"),
        (locate_model, "unet-run/unet", "unet-run/unet is a UNet alone, no model; put it into its pipeline"),
        (locate_model, "lora-run", "lora-run is no model; the LoRA lies in lora-run/lora."),
        (locate_model, "lora-run/lora", "lora-run/lora is a LoRA, no model"),
        (locate_model, "nofile.safetensors", "there is no file nofile.safetensors."),
        (locate_model, "no/such/file.safetensors", "there is no file no/such/file.safetensors."),
        (locate_lora, "lora-run", "lora-run is no LoRA; the LoRA lies in lora-run/lora."),
        (locate_lora, "fast-run", "fast-run is no LoRA; the LoRA lies in fast-run/eight/lora, fast-run/four/lora."),
        (locate_lora, "unet-run", "unet-run/unet is a UNet alone, no LoRA"),
        (locate_lora, "unet-run/unet", "unet-run/unet is a UNet alone, no LoRA"),
        (locate_lora, "no/such/file.safetensors", "there is no file no/such/file.safetensors."),
    ],
)
def test_what_a_training_wrote_is_told_from_a_model(runs, locate, name, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        locate(name)


@pytest.mark.parametrize(
    "name", ["model", "nowhere", "owner/name", "https://huggingface.co/owner/name/blob/main/file.safetensors"]
)
def test_all_else_is_left_to_diffusers(runs, name):
    assert locate_model(name) == name


def test_what_the_hub_says_is_cut_after_its_first_sentence():
    with pytest.raises(ValueError, match=r"give it \(404 Client Error\)\.$"), asked_for("model", "nowhere"):
        raise UNREACHABLE[1]("404 Client Error. (Request ID: 1)\n\nRepository Not Found for url: there.")
