"""Whose schedule counts where several LoRAs, another scheduler or named timesteps come together."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler, PNDMScheduler
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import save_file

from byteedit import ByteEditInpaintPipeline
from byteedit.schedule import Schedule
from test_schedule import FAST, content_of, lora_of, timesteps_of


@pytest.fixture
def fast(tmp_path):
    return lora_of(tmp_path / "fast", FAST)


def test_of_two_loras_the_active_one_counts(pipe, fast, tmp_path):
    own, faster = pipe.schedule, Schedule.trained(4, 3, "masked", "trailing")
    pipe.load_lora_weights(fast, adapter_name="fast")
    pipe.load_lora_weights(lora_of(tmp_path / "plain"), adapter_name="plain")
    assert pipe.get_active_adapters() == ["plain"] and pipe.schedule == own
    pipe.set_adapters(["fast", "plain"])
    assert pipe.schedule == FAST
    pipe.load_lora_weights(lora_of(tmp_path / "faster", faster), adapter_name="faster")
    assert pipe.schedule == faster
    pipe.unload_lora_weights()
    assert pipe.schedule == own


def test_of_two_loras_the_one_that_is_set_counts(pipe, fast, tmp_path):
    own, faster = pipe.schedule, Schedule.trained(4, 3, "masked", "trailing")
    pipe.load_lora_weights(fast, adapter_name="fast")
    pipe.load_lora_weights(lora_of(tmp_path / "plain"), adapter_name="plain")
    pipe.load_lora_weights(lora_of(tmp_path / "faster", faster), adapter_name="faster")
    for names, schedule in [("fast", FAST), (["faster", "plain"], faster), (["faster", "fast"], FAST), ("plain", own)]:
        pipe.set_adapters(names)
        assert pipe.schedule == schedule
    pipe.set_adapters("faster")
    pipe.delete_adapters("faster")
    assert pipe.schedule == FAST  # which peft makes active
    pipe.delete_adapters(["fast", "plain"])
    assert pipe.schedule == own


def test_a_scheduler_that_was_set_since_stays_when_the_lora_goes(pipe, fast):
    pipe.load_lora_weights(fast)
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="linspace")
    pipe.unload_lora_weights()
    assert pipe.scheduler.config.timestep_spacing == "linspace"


def test_what_was_set_since_stays_where_the_same_lora_is_weighed_anew(pipe, fast, tmp_path):
    pipe.load_lora_weights(fast, adapter_name="fast")
    pipe.load_lora_weights(lora_of(tmp_path / "plain"), adapter_name="plain")
    pipe.load_lora_weights(lora_of(tmp_path / "other"), adapter_name="other")
    pipe.set_adapters(["fast", "plain"])
    pipe.follow(replace(pipe.schedule, guidance_scale=3.3))
    pipe.set_adapters(["fast", "plain"], [1.0, 0.5])
    pipe.delete_adapters("other")
    assert pipe.schedule == replace(FAST, guidance_scale=3.3)


def test_a_lora_that_is_hot_swapped_brings_its_schedule(pipe, fast, tmp_path):
    own, faster = pipe.schedule, Schedule.trained(4, 3, "masked", "trailing")
    pipe.load_lora_weights(fast, adapter_name="fast")
    pipe.load_lora_weights(lora_of(tmp_path / "plain"), adapter_name="plain")
    pipe.load_lora_weights(lora_of(tmp_path / "faster", faster), adapter_name="fast", hotswap=True)
    assert pipe.schedule == own  # the plain one is active
    pipe.set_adapters("fast")
    assert pipe.schedule == faster
    pipe.load_lora_weights(fast, "fast", True)
    assert pipe.schedule == FAST


def test_another_pipeline_of_the_same_parts_knows_their_loras_schedules(pipe, fast):
    own = pipe.schedule
    pipe.load_lora_weights(fast)
    other = ByteEditInpaintPipeline.from_pipe(pipe)
    assert other.schedule == FAST
    other.unload_lora_weights()
    assert other.schedule == own
    pipe.load_lora_weights(fast)
    pipe.fuse_lora()
    other = ByteEditInpaintPipeline.from_pipe(pipe)
    other.unload_lora_weights()
    assert other.schedule == FAST  # it is in the weights


def test_a_lora_of_the_words_leaves_the_pictures_schedule(pipe, fast):
    inject_adapter_in_model(LoraConfig(target_modules=["q_proj"]), pipe.text_encoder, adapter_name="style")
    pipe.load_lora_weights(fast, adapter_name="fast")
    assert pipe.get_active_adapters() == ["style"] and pipe.schedule == FAST


def test_what_was_fused_goes_with_its_schedule(pipe, fast, tmp_path):
    own = pipe.schedule
    pipe.load_lora_weights(fast, adapter_name="fast")
    pipe.fuse_lora()
    pipe.load_lora_weights(lora_of(tmp_path / "plain"), adapter_name="plain")
    assert pipe.schedule == FAST
    pipe.unfuse_lora()
    pipe.unload_lora_weights()
    assert pipe.schedule == own


def test_a_lora_that_is_hot_swapped_for_one_without_a_schedule_leaves_none(pipe, fast, tmp_path):
    own = pipe.schedule
    pipe.load_lora_weights(fast, adapter_name="fast")
    pipe.load_lora_weights(lora_of(tmp_path / "plain"), adapter_name="fast", hotswap=True)
    assert pipe.schedule == own
    pipe.unload_lora_weights()
    assert pipe.schedule == own


def test_a_lora_of_two_models_may_go_by_two_names(pipe, fast, tmp_path):
    """diffusers numbers those without a name for each model."""
    pipe.load_lora_weights(lora_of(tmp_path / "plain"), adapter_name="a")
    unet, metadata = content_of(fast / "pytorch_lora_weights.safetensors")
    layers = {name: part.weight.shape for name, part in pipe.text_encoder.named_modules() if name.endswith("q_proj")}
    layer, shape = next((f"text_encoder.{name}", shape) for name, shape in layers.items())
    words = {f"{layer}.lora_A.weight": torch.ones(2, shape[1]), f"{layer}.lora_B.weight": torch.ones(shape[0], 2)}
    (tmp_path / "both").mkdir()
    said = json.loads(metadata["lora_adapter_metadata"]) | {"text_encoder.r": 2, "text_encoder.lora_alpha": 2}
    said |= {"text_encoder.target_modules": ["q_proj"]}
    both = {"lora_adapter_metadata": json.dumps(said)}
    save_file(unet | words, tmp_path / "both" / "pytorch_lora_weights.safetensors", metadata | both)
    pipe.load_lora_weights(tmp_path / "both")
    assert len({name for names in pipe.get_list_adapters().values() for name in names}) == 3
    assert pipe.schedule == FAST


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_timesteps_that_a_call_names_are_all_run(pipe, fast, scene, kind):
    pipe.load_lora_weights(fast)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    assert timesteps_of(pipe)(scene, timesteps=kind([999, 749, 499, 249]))[0] == [999, 749, 499, 249]


def test_a_solver_that_makes_other_steps_than_the_lora_s_is_said(parts, fast):
    pipe = ByteEditInpaintPipeline(**parts(scheduler=PNDMScheduler(skip_prk_steps=True, steps_offset=1)))
    with pytest.warns(UserWarning, match=r"PNDMScheduler asks the UNet more often.* set DDIMScheduler\.from_config"):
        pipe.load_lora_weights(fast)
