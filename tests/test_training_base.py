"""The checkpoint that is tuned: opened for training; its text, sizes and noise as in the pipeline and diffusers."""

import json
import logging.handlers
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)
from PIL import Image
from safetensors.torch import load_file

import byteedit
from byteedit import ByteEditInpaintPipeline
from byteedit.data.edits import open_edits
from byteedit.data.skipped import Skipped
from byteedit.training.adapters import LoraSettings, add_lora
from byteedit.training.base import (
    TuneSettings,
    encode_text,
    make_items,
    open_base,
    open_held_out,
    rollout_scheduler,
    training_scheduler,
    write,
)
from byteedit.training.settings import changed, read
from byteedit.training.sft import InpaintSettings
from conftest import build_unet


def settings_for(**changes):
    values = {"output": "run", "base": "none", "data": "picturebook", "steps": 1, "batch_size": 1, "lr": 1e-3}
    return TuneSettings(**values | changes)


def test_text_is_encoded_as_the_pipeline_does(pipe):
    prompt = ["a red boat on the lake", "", "two blue balloons " * 10]
    theirs = pipe.encode_prompt(prompt, "cpu", 1, False)[0]
    assert torch.equal(encode_text(pipe, prompt), theirs)


def test_the_base_is_opened_for_training(pipe, parts, tmp_path):
    pipe.save_pretrained(tmp_path / "base")
    opened = open_base(settings_for(base=str(tmp_path / "base"), gradient_checkpointing=True))
    assert all(value.requires_grad for value in opened.unet.parameters())
    assert not any(value.requires_grad for part in (opened.vae, opened.text_encoder) for value in part.parameters())
    assert opened.unet.is_gradient_checkpointing
    ByteEditInpaintPipeline(**parts(in_channels=4)).save_pretrained(tmp_path / "plain")
    with pytest.raises(ValueError, match="has 4 input channels; training needs 9"):
        open_base(settings_for(base=str(tmp_path / "plain")))


@pytest.mark.parametrize("half", [False, True])
def test_all_weights_are_written_without_a_warning_of_diffusers(pipe, tmp_path, half):
    said = logging.handlers.BufferingHandler(9)
    logger = logging.getLogger("diffusers.models.modeling_utils")
    logger.addHandler(said)
    write(pipe.unet, pipe.unet.state_dict(), settings_for(output=tmp_path, half=half))
    logger.removeHandler(said)
    assert not said.buffer
    kind = torch.float16 if half else torch.float32
    assert {value.dtype for value in load_file(tmp_path / "unet/diffusion_pytorch_model.safetensors").values()} == {
        kind
    }


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_share_of_a_lora_is_written_and_counts_so_much(pipe, tmp_path, share):
    pipe.save_pretrained(tmp_path / "base")
    opened = open_base(settings_for(base=str(tmp_path / "base"), rank=2))
    kept = {name: torch.randn_like(value) for name, value in opened.unet.state_dict().items() if "lora" in name}
    write(opened.unet, kept, settings_for(rank=2, share=share, output=tmp_path))
    pipe.load_lora_weights(tmp_path / "lora", adapter_name="part")
    layer = pipe.unet.conv_in
    change = layer.get_delta_weight("part")
    up, down = (kept[f"conv_in.lora_{side}.default.weight"].flatten(1) for side in "BA")
    torch.testing.assert_close(change.flatten(1), share * up @ down)


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_a_share_may_lead_away_from_the_lora_that_it_began_with(pipe, tmp_path, share):
    pipe.save_pretrained(tmp_path / "base")
    first, second = (settings_for(base=str(tmp_path / "base"), rank=2, output=tmp_path / n) for n in "12")
    unet = open_base(first).unet
    names = [name for name in unet.state_dict() if "lora" in name]
    begun, kept = ({name: torch.randn_like(unet.state_dict()[name]) for name in names} for _ in range(2))
    write(unet, begun, first)
    further = replace(second, tuned=str(first.written), share=share, share_from="tuned")
    written = write(open_base(further).unet, kept, further).state_dict()
    for name in names:
        torch.testing.assert_close(written[name], (1 - share) * begun[name] + share * kept[name])
    assert further.told()["share_from"] == "tuned"
    with pytest.raises(ValueError, match="share_from is tuned, and tuned is empty"):
        replace(second, share=0.5, share_from="tuned")
    with pytest.raises(ValueError, match="share_from is tuned, which is for a LoRA; set a rank"):
        replace(further, share=1.0, rank=0)


def test_the_mean_with_other_runs_is_written(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "base")
    runs = [settings_for(base=str(tmp_path / "base"), rank=2, output=tmp_path / name) for name in "123"]
    unet = open_base(runs[0]).unet
    names = [name for name in unet.state_dict() if "lora" in name]
    kept = [{name: torch.randn_like(unet.state_dict()[name]) for name in names} for _ in runs]
    for run, weights in zip(runs[:2], kept, strict=False):
        write(unet, weights, run)
    soup = replace(runs[2], soup=[str(run.written) for run in runs[:2]], share=0.5)
    written = write(open_base(soup).unet, kept[2], soup).state_dict()
    for name in names:
        share = 0.5 if "lora_B" in name else 1
        torch.testing.assert_close(written[name], share * sum(one[name] for one in kept) / 3)
    assert soup.told()["soup"] == soup.soup
    assert soup.told()["share"] == 0.5
    assert runs[0].told().keys().isdisjoint({"soup", "share", "share_from"})


def test_a_soup_of_what_is_not_there_or_does_not_fit_is_refused_before_training(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "base")
    settings = settings_for(base=str(tmp_path / "base"), rank=2, output=tmp_path)
    with pytest.raises(ValueError, match=r"soup is .*gone, and nothing is there; run the stage that writes it"):
        open_base(replace(settings, soup=[str(tmp_path / "gone")]))
    write(unet := open_base(settings).unet, dict(unet.state_dict()), settings)
    with pytest.raises(ValueError, match=r"rank 2, alpha 2.* is not one of rank 4"):
        open_base(replace(settings, rank=4, soup=[str(settings.written)]))
    with pytest.raises(ValueError, match="which are LoRAs; set a rank, or leave soup empty"):
        replace(settings, rank=0, soup=["lora"])


def test_pictures_take_the_models_size(pipe):
    edits = open_edits("picturebook", Skipped())
    assert make_items(pipe, edits, settings_for(size=0)).size == (64, 64)
    assert make_items(pipe, edits, settings_for(size=48)).size == (48, 48)
    with pytest.raises(ValueError, match="size is 33; the autoencoder needs a multiple of 2"):
        make_items(pipe, edits, settings_for(size=33))


def test_a_model_of_two_sides_takes_pictures_of_its_shape(pipe):
    pipe.unet.register_to_config(sample_size=[32, 48])
    items = make_items(pipe, open_edits("picturebook", Skipped()), settings_for())
    assert pipe.native_size() == (96, 64)
    item = items.prepare(7, np.random.default_rng(0))
    assert item["image"].shape == (3, 64, 96)


@pytest.mark.parametrize("solver", [EulerDiscreteScheduler, DPMSolverMultistepScheduler])
def test_steps_are_spaced_as_the_bases_where_its_config_leaves_that_to_the_solver(tmp_path, solver):
    (tmp_path / "scheduler_config.json").write_text("{}")
    scheduler = solver.from_pretrained(tmp_path)
    assert training_scheduler(scheduler).config.timestep_spacing == scheduler.config.timestep_spacing == "linspace"
    with pytest.raises(ValueError, match=r"spaced linspace.*set timestep_spacing to trailing or leading"):
        rollout_scheduler(scheduler)
    trailing = solver.from_config(scheduler.config, timestep_spacing="trailing")
    assert rollout_scheduler(trailing).config.timestep_spacing == "trailing"


@pytest.mark.parametrize(
    "flow",
    [
        FlowMatchHeunDiscreteScheduler(),
        UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True),
        FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    ],
)
def test_a_flow_whose_steps_depend_on_those_before_is_refused(flow):
    with pytest.raises(ValueError, match=f"The base's scheduler is {type(flow).__name__}; .* Give the base one"):
        rollout_scheduler(flow)
    assert rollout_scheduler(plain := FlowMatchEulerDiscreteScheduler()) is plain


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lr": -1e-3}, "lr is -0.001; give 0 or more"),
        ({"warmup": -1}, "warmup is -1; give 0 or more"),
        ({"workers": -1}, "workers is -1; give 0 or more"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0; give a rate below 1"),
        ({"betas": [0.9]}, r"betas is \(0.9,\); give the two decay rates"),
        ({"held_out_rows": -1}, "held_out_rows is -1; give 1 or more"),
    ],
)
def test_what_no_setting_can_be_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        settings_for(**change)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"learning_rate": 1, "max_train_steps": 3}, r"called learning_rate, max_train_steps; perhaps lr, steps\?$"),
        ({"schedule": "cosine"}, r"no settings are called schedule; perhaps lr_scheduler\?$"),
        ({"held_uot": "x", "wings": 3}, r"no settings are called held_uot, wings; perhaps held_out\?$"),
        ({"wings": 3}, "no settings are called wings; there are rank, alpha, "),
    ],
)
def test_a_setting_that_does_not_exist_gets_the_one_that_was_meant(named, words):
    with pytest.raises(ValueError, match=words):
        changed(settings_for(), named, "there")


def test_what_yaml_has_a_word_for_is_what_is_meant(tmp_path):
    (tmp_path / "preset.yaml").write_text("base: picturebook\ndata: pages\nsteps: 1\nbatch_size: 1\nlr: 1\noutput: out")
    settings = read(InpaintSettings, tmp_path / "preset.yaml", ["mixed_precision=no", "held_out="])
    assert (settings.mixed_precision, settings.held_out) == ("no", "")


@pytest.mark.parametrize("files", [("mine.jsonl", "val.jsonl"), ("a.png", "val/b.png")])
def test_rows_that_are_learnt_are_not_held_out(pipe, tmp_path, files):
    for name in files:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32)).save(path.with_suffix(".png"))
        path.with_suffix(".txt").write_text("a boat")
        if path.suffix == ".jsonl":
            path.write_text(json.dumps({"image": str(path.with_suffix(".png")), "caption": "a boat"}) + "\n")
    settings = settings_for(data=str(tmp_path / "data"), held_out=f"{tmp_path / 'data'}:val")
    with pytest.raises(ValueError, match=r"val.* is of .*:val, and of .*data, too, so it would not be held out"):
        open_held_out(pipe, settings, Skipped())
    other = settings_for(data=f"{tmp_path / 'data'}:val", held_out=f"{tmp_path / 'data'}:val")
    assert open_held_out(pipe, other, Skipped())


def test_a_target_that_no_layer_has_is_said(pipe):
    with pytest.raises(ValueError, match="targets has to_kk, and no layer's name ends so"):
        add_lora(pipe.unet, LoraSettings(rank=2, targets=("to_q", "to_kk")))


def test_rows_cannot_lose_their_prompt_three_times(pipe):
    with pytest.raises(ValueError, match="drop_prompt is 3; it is a share of the rows"):
        make_items(pipe, open_edits("picturebook", Skipped()), settings_for(drop_prompt=3))


def test_any_scheduler_of_a_checkpoint_says_what_noise_to_train_with():
    scheduler = training_scheduler(PNDMScheduler(beta_start=0.001, prediction_type="v_prediction"))
    assert isinstance(scheduler, DDIMScheduler)
    assert (scheduler.config.beta_start, scheduler.config.prediction_type) == (0.001, "v_prediction")
    assert not scheduler.config.clip_sample and not scheduler.config.thresholding  # which its own does not say
    flow = FlowMatchEulerDiscreteScheduler()
    assert training_scheduler(flow) is flow


def test_latents_are_taken_as_they_are_whatever_a_config_leaves_out():
    """Pictures have an end at 1, latents have none: DDIM by itself would clip them there."""
    assert DDIMScheduler.from_config(PNDMScheduler().config).config.clip_sample
    scheduler = training_scheduler(PNDMScheduler())
    scheduler.set_timesteps(4)
    noisy = torch.full((1, 4, 2, 2), 3.0)
    found = scheduler.step(torch.zeros_like(noisy), scheduler.timesteps[-1], noisy).pred_original_sample
    assert found.min() >= 3


def test_nothing_changes_for_the_checkpoint_that_ships():
    config = json.loads((Path(byteedit.PICTUREBOOK) / "scheduler" / "scheduler_config.json").read_text())
    assert (config["_class_name"], config["clip_sample"], config["thresholding"]) == ("DDIMScheduler", False, False)


def test_what_is_no_stage_before_is_said(pipe, parts, tmp_path):
    base, other, unet = (str(tmp_path / name) for name in ("base", "other", "unet"))
    pipe.save_pretrained(base)
    build_unet(block_out_channels=(32, 64)).save_pretrained(other)
    pipe.unet.save_pretrained(unet)
    for rank, tuned, message in (
        (2, base, "base is no LoRA; name the folder of its pytorch_lora_weights.safetensors"),
        (2, unet, r"\(rank unknown, alpha 2\) is not one of rank 2"),
        (0, base, "base is a whole pipeline; name its unet folder, or make it the base"),
        (0, str(tmp_path), "is no UNet; name its unet folder, or, where it is a LoRA's, set the LoRA's rank"),
        (0, other, "The UNet at .*other has other layers than the base's"),
    ):
        with pytest.raises(ValueError, match=message):
            open_base(settings_for(base=base, rank=rank, tuned=tuned))
    open_base(settings_for(base=base, tuned=unet))
