"""Our pipeline beside diffusers' own on the same tiny random weights and noise: equal to the last bit."""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionInpaintPipeline,
    UniPCMultistepScheduler,
)

from byteedit import ByteEditInpaintPipeline

SCHEDULERS = [DDIMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler]
OTHERS = [PNDMScheduler, HeunDiscreteScheduler, EulerAncestralDiscreteScheduler]
RAW = {"padding_mask_crop": None, "composite": False}


@pytest.fixture
def twins(parts):
    """Function that calls both pipelines with the same arguments: latents, or what output_type says."""

    def call(*args, in_channels=9, scheduler=None, unet=None, seed=5, **kwargs):
        results = []
        for cls, own in ((ByteEditInpaintPipeline, RAW), (StableDiffusionInpaintPipeline, {})):
            extra = {} if own else {"requires_safety_checker": False}
            pipe = cls(**parts(in_channels, scheduler and scheduler(), **(unet or {})), **extra)
            pipe.set_progress_bar_config(disable=True)
            seeds = seed if isinstance(seed, list) else [seed]
            generators = [torch.Generator().manual_seed(s) for s in seeds]
            generator = generators if isinstance(seed, list) else generators[0]
            options = {"output_type": "latent", "num_inference_steps": 4, "generator": generator, **kwargs}
            results.append(pipe(*args, **options, **own).images)
        return results

    return call


@pytest.mark.parametrize("in_channels", [9, 4])
@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_latents_equal(twins, scene, scheduler, strength, guidance_scale, in_channels):
    """The matrix that the issue names."""
    ours, theirs = twins(
        "a red boat",
        *scene(),
        scheduler=scheduler,
        strength=strength,
        guidance_scale=guidance_scale,
        in_channels=in_channels,
    )
    assert ours.shape == (1, 4, 32, 32)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("scheduler", OTHERS)
def test_latents_equal_for_other_schedulers(twins, scene, scheduler):
    """Multistep, second-order and ancestral schedulers; the last draws noise at every step."""
    ours, theirs = twins("a red boat", *scene(), scheduler=scheduler, strength=0.8)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("output_type", ["np", "pt", "pil"])
def test_images_equal(twins, scene, output_type):
    """The raw decode in every form, for a picture that has to be resized first."""
    ours, theirs = twins("a red boat", *scene(70, 50), output_type=output_type)
    assert np.array_equal(np.asarray(ours[0]), np.asarray(theirs[0]))


def test_equal_with_height_and_width(twins, scene):
    """Another size than the model's."""
    ours, theirs = twins("a red boat", *scene(70, 50), height=48, width=80, output_type="np")
    assert ours.shape == (1, 48, 80, 3)
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    "options",
    [
        {"negative_prompt": "green tree"},
        {"eta": 0.7},
        {"num_images_per_prompt": 2},
        {"num_images_per_prompt": 2, "seed": [1, 2]},
        {"num_images_per_prompt": 2, "seed": [1, 2], "strength": 0.5},
        {"timesteps": [901, 601, 301, 1], "scheduler": EulerDiscreteScheduler},
        {"cross_attention_kwargs": {}},
        {"unet": {"time_cond_proj_dim": 8}, "guidance_scale": 4.0},
        {"unet": {"addition_embed_type": "text", "addition_embed_type_num_heads": 4, "encoder_hid_dim": 16}},
    ],
    ids=lambda options: ",".join(options),
)
def test_equal_with_options(twins, scene, options):
    """Options of diffusers' call, each alone."""
    ours, theirs = twins("a red boat", *scene(), **options)
    assert torch.equal(ours, theirs)


def test_equal_with_lists(twins, scene):
    """Two prompts with two pictures."""
    pairs = [scene(seed=1), scene(seed=2, box=(0, 0, 20, 30))]
    images, masks = map(list, zip(*pairs, strict=True))
    ours, theirs = twins(["a red boat", "a green tree"], images, masks, seed=[3, 4])
    assert torch.equal(ours, theirs)


def test_equal_with_latents(twins, scene):
    """Noise from the caller."""
    noise = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(9))
    ours, theirs = twins("a red boat", *scene(), latents=noise)
    assert torch.equal(ours, theirs)


def test_equal_with_tensors_of_the_model_size(twins, scene):
    """Floats in [0, 1], nothing to resize."""
    image, mask = scene()
    image = torch.from_numpy(np.asarray(image) / np.float32(255)).permute(2, 0, 1)[None].contiguous()
    mask = torch.from_numpy(np.asarray(mask) / np.float32(255))[None, None]
    ours, theirs = twins("a red boat", image, mask)
    assert torch.equal(ours, theirs)


def test_equal_with_a_masked_image(twins, scene):
    """`masked_image_latents` given as latents."""
    latents = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(9))
    ours, theirs = twins("a red boat", *scene(), masked_image_latents=latents)
    assert torch.equal(ours, theirs)


def test_equal_through_a_callback(twins, scene):
    """A callback that looks at everything, changes latents and turns guidance off half way."""
    seen = []

    def callback(pipe, i, t, tensors):
        seen.append({name: rows.shape[0] for name, rows in tensors.items() if rows is not None})
        tensors["latents"] = tensors["latents"] * 0.9
        if i == 1:
            pipe._guidance_scale = 0.0
            for name in ("prompt_embeds", "mask", "masked_image_latents"):
                tensors[name] = tensors[name].chunk(2)[-1]
        return tensors

    names = ["latents", "prompt_embeds", "negative_prompt_embeds", "mask", "masked_image_latents"]
    ours, theirs = twins(
        "a red boat", *scene(), callback_on_step_end=callback, callback_on_step_end_tensor_inputs=names
    )
    assert torch.equal(ours, theirs)
    assert seen[:4] == seen[4:]
    assert seen[0]["prompt_embeds"] == 2
    assert seen[3]["prompt_embeds"] == 1


def test_equal_through_a_callback_that_changes_tensors_in_place(twins, scene):
    """With guidance, what a callback is given is doubled, and so a copy."""

    def callback(pipe, i, t, tensors):
        for name in ("prompt_embeds", "mask", "masked_image_latents"):
            tensors[name].mul_(0.5)
        return tensors

    names = ["prompt_embeds", "mask", "masked_image_latents"]
    ours, theirs = twins(
        "a red boat", *scene(), callback_on_step_end=callback, callback_on_step_end_tensor_inputs=names
    )
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, twins("a red boat", *scene())[0])


def test_equal_when_interrupted(twins, scene):
    """`pipe._interrupt` stops the rollout where it is."""

    def stop(pipe, i, t, tensors):
        pipe._interrupt = i == 1
        return tensors

    def stop_after_two(pipe, i, t, tensors):
        return stop(pipe, i, t, tensors) if i < 2 else pytest.fail("went on after the interrupt")

    ours, theirs = twins("a red boat", *scene(), callback_on_step_end=stop_after_two)
    assert torch.equal(ours, theirs)
