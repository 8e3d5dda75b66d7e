"""The call itself: prompt-free as a mode, defaults from the checkpoint, the start of the schedule, outputs."""

import warnings

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler
from diffusers.utils import logging

from byteedit import ByteEditInpaintPipeline


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# Prompt-free


def test_no_prompt_asks_the_unet_once_a_step_and_the_text_encoder_once(pipe, scene, unet_calls):
    texts = []
    pipe.text_encoder.register_forward_hook(lambda module, args, output: texts.append(args[0].shape))
    erased = pipe.erase(*scene(), generator=generator()).images[0]
    assert unet_calls == [(1, 9, 32, 32)] * 2
    assert len(texts) == 1
    empty = pipe("", *scene(), generator=generator(), guidance_scale=1.0).images[0]
    assert np.array_equal(np.asarray(erased), np.asarray(empty))


@pytest.mark.parametrize(
    ("options", "batch"),
    [
        ({"prompt": "a red boat"}, 2),
        ({"prompt": "a red boat", "guidance_scale": 1.0}, 1),
        ({"prompt": "a red boat", "negative_prompt": "a red boat"}, 1),
        ({"prompt": None, "negative_prompt": "a red boat"}, 2),
    ],
)
def test_guidance_is_off_where_it_changes_nothing(pipe, scene, unet_calls, options, batch):
    image, mask = scene()
    pipe(image=image, mask_image=mask, **options)
    assert [call[0] for call in unet_calls] == [batch] * 2
    assert pipe.do_classifier_free_guidance is (batch == 2)


# The checkpoint's own defaults


def test_defaults_come_from_the_config(parts, scene):
    pipe = ByteEditInpaintPipeline(**parts(), num_inference_steps=4, guidance_scale=1.0, strength=0.75, init="masked")
    pipe.set_progress_bar_config(disable=True)
    pipe("a red boat", *scene())
    assert pipe.num_timesteps == 3
    assert pipe.guidance_scale == 1.0
    pipe("a red boat", *scene(), num_inference_steps=2, guidance_scale=2.0, strength=1.0)
    assert pipe.num_timesteps == 2
    assert pipe.guidance_scale == 2.0


def test_the_start_of_the_schedule(pipe, scene):
    """Masked starts from the noised masked picture, without a second encode; image from the picture itself."""
    image, mask = scene()
    first, encodes = [], []
    pipe.vae.encoder.register_forward_hook(lambda module, args, output: encodes.append(args[0]))
    pipe.unet.register_forward_hook(lambda module, args, output: first.append(args[0]))
    options = {"num_inference_steps": 4, "guidance_scale": 1.0}
    for init in ("masked", "image", None):
        first.clear(), encodes.clear()
        pipe(None, image, mask, strength=0.5, init=init, generator=generator(), **options)
        noise = torch.randn(1, 4, 32, 32, generator=generator())
        assert len(first) == 2
        assert len(encodes) == (1 if init == "masked" else 2)
        if init == "masked":
            alpha = pipe.scheduler.alphas_cumprod[pipe.scheduler.timesteps[2]]
            expected = alpha**0.5 * first[0][:, 5:] + (1 - alpha) ** 0.5 * noise
            assert torch.allclose(first[0][:, :4], expected, atol=1e-5)
    first.clear()
    pipe(None, image, mask, init="noise", generator=generator(), **options)
    assert torch.allclose(first[0][:, :4], torch.randn(1, 4, 32, 32, generator=generator()))


def test_clip_skip(pipe, scene):
    """diffusers 0.42 fails at it with transformers 5."""
    results = [
        pipe("a red boat", *scene(), clip_skip=skip, generator=generator(), output_type="latent").images
        for skip in (None, 0, 1)
    ]
    assert torch.allclose(results[0], results[1], atol=1e-4)
    assert not torch.allclose(results[0], results[2], atol=1e-2)


def test_layers_that_cannot_be_skipped_and_words_that_do_not_fit_are_said(pipe, scene, caplog):
    for skip in (-1, 2, 1.5):
        with pytest.raises(ValueError, match=r"clip_skip is .*; give a whole number from 0 to 1"):
            pipe("a boat", *scene(), clip_skip=skip)
    logging.enable_propagation()
    pipe("a red boat " * 20, *scene(), clip_skip=1)
    logging.disable_propagation()
    assert any("was truncated: ['" in record.message for record in caplog.records)


def test_what_is_no_generator_is_said(pipe, scene):
    for wrong in (5, [5], (torch.Generator(),)):
        with pytest.raises(ValueError, match=r"give torch\.Generator\(\)\.manual_seed\(0\), or a list"):
            pipe("a boat", *scene(), generator=wrong)


def test_embeddings_instead_of_words(pipe, scene):
    embeds = pipe.encode_prompt(["a red boat"], "cpu", 1, True)
    results = [
        pipe(image=scene()[0], mask_image=scene()[1], generator=generator(), output_type="latent", **words).images
        for words in (
            {"prompt": "a red boat"},
            {"prompt_embeds": embeds[0], "negative_prompt_embeds": embeds[1]},
            {"prompt_embeds": embeds[0]},
        )
    ]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_return_dict(pipe, scene):
    images, unsafe = pipe.erase(*scene(), return_dict=False)
    assert images[0].size == (64, 64)
    assert unsafe is None


def test_a_solver_that_passes_over_less_noise_is_said(pipe, scene):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe("a red boat", *scene(), num_inference_steps=2, noise_scale=0.9, output_type="latent")
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    with pytest.warns(UserWarning, match="EulerDiscreteScheduler keeps noise in a way of its own and passes over"):
        pipe("a red boat", *scene(), num_inference_steps=2, noise_scale=0.9, output_type="latent")
