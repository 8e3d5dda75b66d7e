"""A LoRA that is saved after training loads in our pipeline and in diffusers' own, as strong as it was trained."""

import json

import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from safetensors import safe_open

from byteedit import ByteEditInpaintPipeline
from byteedit.training.adapters import LoraSettings, add_lora, save_lora
from conftest import build_unet

RAW = {"padding_mask_crop": None, "composite": False}


def latents(pipe, picture, **own):
    pipe.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": 2, "guidance_scale": 3.0, "output_type": "latent"}
    return pipe("a red boat", *picture, generator=torch.Generator().manual_seed(0), **options, **own).images


def shake(unet):
    """Move the LoRA from where it does nothing."""
    torch.manual_seed(1)
    for name, value in unet.named_parameters():
        if "lora_B" in name:
            value.data = torch.randn_like(value) * 0.3


def test_a_new_lora_changes_nothing_and_is_all_that_is_trained(parts, scene):
    pipe = ByteEditInpaintPipeline(**parts())
    before = latents(pipe, scene(), **RAW)
    add_lora(pipe.unet, LoraSettings(rank=2))
    assert torch.equal(latents(pipe, scene(), **RAW), before)
    trained = {name for name, value in pipe.unet.named_parameters() if value.requires_grad}
    assert trained and all("lora" in name for name in trained)
    assert any(name.startswith("conv_in.") for name in trained)


def test_without_a_rank_all_weights_are_trained():
    unet = build_unet().requires_grad_(False)
    add_lora(unet, LoraSettings())
    assert all(value.requires_grad for value in unet.parameters())


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_saved_lora_loads_alike_in_both_pipelines(parts, scene, tmp_path, alpha):
    pipe = ByteEditInpaintPipeline(**parts())
    before = latents(pipe, scene(), **RAW)
    add_lora(pipe.unet, LoraSettings(rank=2, alpha=alpha))
    shake(pipe.unet)
    tuned = latents(pipe, scene(), **RAW)
    file = save_lora(pipe.unet, tmp_path)
    ours = ByteEditInpaintPipeline(**parts())
    theirs = StableDiffusionInpaintPipeline(**parts(), requires_safety_checker=False)
    for opened, own in ((ours, RAW), (theirs, {})):
        opened.load_lora_weights(tmp_path)
        torch.testing.assert_close(latents(opened, scene(), **own), tuned, rtol=0, atol=1e-5)
    assert torch.equal(latents(ours, scene(), **RAW), latents(theirs, scene()))
    assert (tuned - before).abs().max() > 0.05
    with safe_open(file, "pt") as opened:
        assert json.loads(opened.metadata()["lora_adapter_metadata"])["unet.lora_alpha"] == (alpha or 2)


def test_half_precision_halves_the_file(parts, tmp_path):
    unet = build_unet()
    add_lora(unet, LoraSettings(rank=4))
    whole, half = (save_lora(unet, tmp_path / str(dtype), dtype) for dtype in (torch.float32, torch.float16))
    saved = whole.stat().st_size - half.stat().st_size
    numbers = sum(value.numel() for value in unet.parameters() if value.requires_grad)
    assert saved == pytest.approx(2 * numbers, abs=200)  # the headers' offsets


def test_a_lora_on_half_precision_weights_is_trained_in_float32():
    unet = build_unet().half()
    add_lora(unet, LoraSettings(rank=2))
    assert {value.dtype for value in unet.parameters() if value.requires_grad} == {torch.float32}


def test_errors_are_in_words():
    with pytest.raises(ValueError, match="targets is empty; give ends of names of layers"):
        add_lora(build_unet(), LoraSettings(rank=2, targets=()))
    with pytest.raises(ValueError, match="rank is -1; give 0"):
        add_lora(build_unet(), LoraSettings(rank=-1))
    with pytest.raises(ValueError, match="nowhere"):
        add_lora(build_unet(), LoraSettings(rank=2, targets=("nowhere",)))


def test_the_same_lora_is_the_same_file(parts, tmp_path):
    """Its layers are a set, in whose order hashes that differ between processes would have a say."""
    unet = ByteEditInpaintPipeline(**parts()).unet
    add_lora(unet, LoraSettings(rank=2))
    targets = unet.peft_config["default"].target_modules
    assert isinstance(targets, set) and len(targets) > 1
    metadata = safe_open(save_lora(unet, tmp_path), "pt").metadata()
    written = json.loads(metadata["lora_adapter_metadata"])["unet.target_modules"]
    assert written == sorted(targets)
