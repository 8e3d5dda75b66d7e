"""Checkpoints from folders, single files, the hub's cache, LoRAs; and what diffusers makes of what we save."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    DiffusionPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from diffusers.utils import logging
from transformers import CLIPConfig, CLIPImageProcessor

from byteedit import ByteEditInpaintPipeline
from byteedit.pipeline.loading import only_variant
from test_schedule import FAST, lora_of

SAME = {"num_inference_steps": 2, "guidance_scale": 3.0, "output_type": "latent"}


@pytest.fixture
def folder(pipe, tmp_path):
    """A checkpoint that our pipeline saved."""
    pipe.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def latents(pipe, scene, **kwargs):
    """What a pipeline makes of the test scene."""
    pipe.set_progress_bar_config(disable=True)
    return pipe("a red boat", *scene(), generator=torch.Generator().manual_seed(0), **{**SAME, **kwargs}).images


@pytest.mark.parametrize(
    "opener", [ByteEditInpaintPipeline, DiffusionPipeline, AutoPipelineForInpainting], ids=lambda cls: cls.__name__
)
def test_saved_folder_opens_as_our_class(pipe, folder, scene, opener):
    opened = opener.from_pretrained(folder)
    assert type(opened) is ByteEditInpaintPipeline
    assert opened.config.num_inference_steps == 2
    assert opened.config.guidance_scale == 3.0
    assert torch.equal(latents(opened, scene), latents(pipe, scene))


@pytest.mark.parametrize("opener", [ByteEditInpaintPipeline, DiffusionPipeline, AutoPipelineForInpainting])
def test_a_safety_checker_may_be_left_out_or_be_another(parts, tmp_path, opener):
    def checker():
        vision = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1}
        vision |= {"image_size": 16, "patch_size": 8}
        return StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=8))

    with_checker = parts() | {"safety_checker": checker(), "feature_extractor": CLIPImageProcessor()}
    ByteEditInpaintPipeline(**with_checker).save_pretrained(tmp_path)
    assert type(opener.from_pretrained(tmp_path).safety_checker) is StableDiffusionSafetyChecker
    assert opener.from_pretrained(tmp_path, safety_checker=None).safety_checker is None
    mine = checker()
    assert opener.from_pretrained(tmp_path, safety_checker=mine).safety_checker is mine


def test_a_checkpoint_is_saved_without_loras_in_it(pipe, tmp_path):
    pipe.load_lora_weights(lora_of(tmp_path / "fast", FAST), adapter_name="fast")
    pipe.fuse_lora()
    with pytest.raises(ValueError, match=r"LoRAs are loaded \(fast\).* unload_lora_weights\(\) writes them into"):
        pipe.save_pretrained(tmp_path / "checkpoint")
    pipe.unload_lora_weights()
    pipe.save_pretrained(tmp_path / "checkpoint")
    assert ByteEditInpaintPipeline.from_pretrained(tmp_path / "checkpoint").schedule == FAST


def test_other_tasks_open_what_stock_pipelines_do(parts, tmp_path):
    pipe = ByteEditInpaintPipeline(**parts(4))
    pipe.save_pretrained(tmp_path)
    assert type(AutoPipelineForText2Image.from_pipe(pipe)) is StableDiffusionPipeline
    assert type(AutoPipelineForText2Image.from_pretrained(tmp_path)) is StableDiffusionPipeline
    assert type(AutoPipelineForImage2Image.from_pipe(pipe)) is StableDiffusionImg2ImgPipeline
    stock = AutoPipelineForInpainting.from_pipe(StableDiffusionPipeline.from_pipe(pipe))
    assert type(stock) is StableDiffusionInpaintPipeline


def test_unets_of_the_first_versions_are_of_64_latents(parts):
    given = parts()
    given["unet"].register_to_config(sample_size=32, _diffusers_version="0.6.0")
    pipe = ByteEditInpaintPipeline(**given)
    assert pipe.native_size() == (64 * pipe.vae_scale_factor, 64 * pipe.vae_scale_factor)


def test_saved_folder_opens_in_the_stock_pipeline(pipe, folder, scene, caplog):
    logging.enable_propagation()
    opened = StableDiffusionInpaintPipeline.from_pretrained(folder)
    logging.disable_propagation()
    assert type(opened) is StableDiffusionInpaintPipeline
    assert torch.equal(latents(opened, scene), latents(pipe, scene))
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


def test_stock_folder_opens_with_diffusers_defaults(parts, tmp_path):
    StableDiffusionInpaintPipeline(**parts(), requires_safety_checker=False).save_pretrained(tmp_path)
    config = ByteEditInpaintPipeline.from_pretrained(tmp_path).config
    assert (config.num_inference_steps, config.guidance_scale, config.strength, config.init) == (50, 7.5, 1.0, None)


def test_model_index_has_the_schedule(parts, tmp_path):
    pipe = ByteEditInpaintPipeline(**parts(), num_inference_steps=8, guidance_scale=1.5, strength=0.75, init="masked")
    pipe.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["_class_name"] == "ByteEditInpaintPipeline"
    assert (index["num_inference_steps"], index["guidance_scale"]) == (8, 1.5)
    assert (index["strength"], index["init"]) == (0.75, "masked")


@pytest.mark.parametrize("order", ["import byteedit\nimport diffusers", "import diffusers\nimport byteedit"])
def test_diffusers_knows_the_class_whichever_is_imported_first(folder, tmp_path, order):
    """In a fresh process, from the folder and, offline, by the hub id that the standard cache knows."""
    commit = "0123456789012345678901234567890123456789"
    repo = tmp_path / "hub" / "models--someone--inpainting"
    shutil.copytree(folder, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    code = f"""{order}
for source in ({str(folder)!r}, "someone/inpainting"):
    for opener in (diffusers.AutoPipelineForInpainting, diffusers.DiffusionPipeline, byteedit.ByteEditInpaintPipeline):
        print(type(opener.from_pretrained(source)).__name__)"""
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, env=environment)
    assert done.stdout.split() == ["ByteEditInpaintPipeline"] * 6, done.stderr


def test_import_is_light():
    code = """import sys, byteedit
print(sorted({"torch", "diffusers", "transformers", "gradio"} & set(sys.modules)))
print(byteedit.__version__, byteedit.PICTUREBOOK.endswith("picturebook"))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[:2] == ["[]", "0.1.0 True"], done.stderr


def test_variant(pipe, tmp_path):
    pipe.to(torch.float16).save_pretrained(tmp_path, variant="fp16")
    assert (tmp_path / "unet" / "diffusion_pytorch_model.fp16.safetensors").is_file()
    opened = ByteEditInpaintPipeline.from_pretrained(tmp_path, variant="fp16", torch_dtype=torch.float32)
    assert opened.unet.dtype == torch.float32
    assert torch.equal(opened.unet.conv_in.weight, pipe.unet.conv_in.weight.float())


def test_unet_alone(pipe, folder, parts, tmp_path, scene):
    unet = parts()["unet"]
    torch.nn.init.zeros_(unet.conv_out.weight)
    unet.save_pretrained(tmp_path / "tuned")
    tuned = UNet2DConditionModel.from_pretrained(tmp_path / "tuned")
    opened = ByteEditInpaintPipeline.from_pretrained(folder, unet=tuned)
    assert opened.unet is tuned
    assert not torch.equal(latents(opened, scene), latents(pipe, scene))


def test_lora_with_conv_in(pipe, folder, scene, tmp_path):
    from peft import LoraConfig, get_peft_model_state_dict

    before = latents(pipe, scene)
    targets = ["conv_in", "to_q", "to_v"]
    pipe.unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=targets, init_lora_weights=False))
    changed = latents(pipe, scene)
    layers = get_peft_model_state_dict(pipe.unet)
    assert any("conv_in" in name for name in layers)
    ByteEditInpaintPipeline.save_lora_weights(tmp_path / "lora", unet_lora_layers=layers)
    opened = ByteEditInpaintPipeline.from_pretrained(folder)
    opened.load_lora_weights(tmp_path / "lora", adapter_name="tuned")
    assert torch.allclose(latents(opened, scene), changed, atol=1e-4)
    assert not torch.allclose(changed, before, atol=1e-2)
    opened.set_adapters("tuned", 0.0)
    assert torch.allclose(latents(opened, scene), before, atol=1e-4)
    opened.unload_lora_weights()
    assert torch.equal(latents(opened, scene), before)


def test_pickled_weights_are_refused(pipe, folder):
    """A folder with weights as .bin only opens when that is asked for, or when the part is given."""
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(pipe.unet.state_dict(), folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(ValueError, match="use_safetensors=None"):
        ByteEditInpaintPipeline.from_pretrained(folder)
    assert ByteEditInpaintPipeline.from_pretrained(folder, unet=pipe.unet).unet is pipe.unet
    opened = ByteEditInpaintPipeline.from_pretrained(folder, use_safetensors=None)
    assert torch.equal(opened.unet.conv_in.weight, pipe.unet.conv_in.weight)


def test_pickles_are_not_written(pipe, tmp_path):
    with pytest.warns(UserWarning, match=r"\.safetensors"):
        pipe.save_pretrained(tmp_path, safe_serialization=False)
    assert list(tmp_path.rglob("*.bin")) == []
    assert ByteEditInpaintPipeline.from_pretrained(tmp_path).config.num_inference_steps == 2


def test_from_pipe_keeps_the_parts(pipe):
    stock = StableDiffusionInpaintPipeline.from_pipe(pipe)
    ours = ByteEditInpaintPipeline.from_pipe(stock)
    assert ours.unet is pipe.unet
    assert ours.config.num_inference_steps == 2


def test_textual_inversion(pipe, scene):
    before = latents(pipe, scene)
    pipe.load_textual_inversion({"<lake>": torch.ones(2, 16)})
    pipe.set_progress_bar_config(disable=True)
    after = pipe("a red <lake>", *scene(), generator=torch.Generator().manual_seed(0), **SAME).images
    assert np.isfinite(after.numpy()).all()
    assert not torch.equal(after, before)


def test_half_precision_files_open_in_float32_unless_asked(pipe, scene, tmp_path):
    pipe.to(torch.float16).save_pretrained(tmp_path)
    opened = ByteEditInpaintPipeline.from_pretrained(tmp_path)
    assert {part.dtype for part in (opened.vae, opened.text_encoder, opened.unet)} == {torch.float32}
    assert latents(opened, scene).dtype == torch.float32
    halved = ByteEditInpaintPipeline.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {part.dtype for part in (halved.vae, halved.text_encoder, halved.unet)} == {torch.bfloat16}


def test_weights_that_are_there_as_a_variant_only_are_taken(pipe, tmp_path, scene):
    pipe.save_pretrained(tmp_path / "half", variant="fp16", max_shard_size="20KB")
    assert [*(tmp_path / "half" / "unet").glob("*.fp16-00001-of-*.safetensors")]
    assert torch.equal(latents(ByteEditInpaintPipeline.from_pretrained(tmp_path / "half"), scene), latents(pipe, scene))
    pipe.text_encoder.save_pretrained(tmp_path / "half" / "text_encoder")
    both = ByteEditInpaintPipeline.from_pretrained(tmp_path / "half")
    assert torch.equal(latents(both, scene), latents(pipe, scene))


def test_plain_weights_come_before_a_variant(pipe, folder, scene):
    before = latents(pipe, scene)
    torch.nn.init.zeros_(pipe.unet.conv_out.weight)
    pipe.save_pretrained(folder, variant="fp16")
    assert torch.equal(latents(ByteEditInpaintPipeline.from_pretrained(folder), scene), before)
    other = ByteEditInpaintPipeline.from_pretrained(folder, variant="fp16")
    assert not other.unet.conv_out.weight.any()


def test_a_pickled_file_that_is_no_part_of_the_pipeline_is_passed_over(folder):
    (folder / "checkpoint-500").mkdir()
    torch.save({}, folder / "checkpoint-500" / "optimizer.bin")
    ByteEditInpaintPipeline.from_pretrained(folder)


def test_a_safety_checker_without_what_prepares_pictures_is_refused(parts):
    with pytest.raises(ValueError, match="A safety_checker came without a feature_extractor"):
        ByteEditInpaintPipeline(**parts() | {"safety_checker": torch.nn.Linear(1, 1)})


def test_a_part_that_is_a_variant_only_turns_no_other_into_its_variant(folder, tmp_path, parts):
    mixed = tmp_path / "mixed"
    shutil.copytree(folder, mixed)
    half = ByteEditInpaintPipeline(**parts()).to(torch.float16)
    for name in ("unet", "vae"):
        getattr(half, name).save_pretrained(mixed / name, variant="fp16")
    (mixed / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert only_variant(mixed, ()) is None
    (mixed / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    assert only_variant(mixed, ()) == "fp16"
