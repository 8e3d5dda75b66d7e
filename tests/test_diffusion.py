"""The one denoising loop: gradient where asked, values that do not depend on it, x0 from every scheduler."""

import itertools
from dataclasses import replace

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from byteedit.diffusion import (
    Condition,
    decode,
    encode,
    encode_image,
    predict_x0,
    rollout,
    signal_and_noise,
    spread,
    start,
)
from conftest import build_unet, build_vae

ZERO_SNR = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
SCHEDULERS = [
    DDIMScheduler,
    EulerDiscreteScheduler,
    DPMSolverMultistepScheduler,
    UniPCMultistepScheduler,
    PNDMScheduler,
]


def rows(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def unet():
    return build_unet()


@pytest.fixture
def condition():
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., 8:20, 8:20] = 1
    return Condition(rows(2, 16, 16), mask, rows(2, 4, 32, 32, seed=1))


def ready(scheduler, steps=4):
    """A scheduler fresh from set_timesteps, and its timesteps."""
    scheduler.set_timesteps(steps)
    return scheduler, scheduler.timesteps


def test_the_gradient_passes_through_the_last_step_only(unet, condition):
    scheduler, timesteps = ready(DDIMScheduler())
    calls = []
    unet.register_forward_hook(lambda module, args, output: calls.append(torch.is_grad_enabled()))
    rollout(unet, scheduler, condition, rows(2, 4, 32, 32), timesteps, grad_steps=1).sum().backward()
    assert calls == [False, False, False, True]
    assert unet.conv_in.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("until", [None, 1, 3])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_value_does_not_depend_on_the_gradient(unet, condition, scheduler, until):
    results = [
        rollout(
            unet,
            *ready(scheduler())[:1],
            condition,
            rows(2, 4, 32, 32),
            ready(scheduler())[1],
            until=until,
            grad_steps=g,
        )
        for g in (0, 1, 2)
    ]
    assert torch.equal(results[0], results[1].detach())
    assert torch.equal(results[0], results[2].detach())
    assert [r.requires_grad for r in results] == [False, True, True]


def test_an_outer_no_grad_holds(unet, condition):
    with torch.no_grad():
        x0 = rollout(
            unet, *ready(DDIMScheduler())[:1], condition, rows(2, 4, 32, 32), torch.tensor([700, 400]), grad_steps=1
        )
    assert not x0.requires_grad


def test_until_counts_from_the_end_and_returns_x0(unet, condition):
    """The paper's three stages, written out: skip to T1, denoise to t', one step to x0'."""
    scheduler, timesteps = ready(DDIMScheduler(), 20)
    noise = rows(2, 4, 32, 32)
    t1, t = 15, 7
    first = start(scheduler, noise, timesteps[20 - t1].repeat(2), condition.masked_latents)
    x0 = rollout(unet, scheduler, condition, first, timesteps[20 - t1 :], until=t)
    sample = first
    with torch.no_grad():
        for step in timesteps[20 - t1 : 20 - t + 1]:
            seen = torch.cat([sample, condition.mask, condition.masked_latents], 1)
            result = scheduler.step(unet(seen, step, condition.text).sample, step, sample)
            sample = result.prev_sample
    assert torch.equal(x0, result.pred_original_sample)


@pytest.mark.parametrize(
    "scheduler", [lambda: DDIMScheduler(clip_sample=False, **ZERO_SNR), FlowMatchEulerDiscreteScheduler]
)
def test_a_share_of_the_noise_is_handed_on(unet, condition, scheduler):
    """x = alpha x0 + share sigma e before every step but the first; the last one ends as ever."""
    scheduler, timesteps = ready(scheduler())
    latents = rows(2, 4, 32, 32)
    ours = rollout(unet, scheduler, condition, latents, timesteps, noise_scale=0.9)
    x = latents
    with torch.no_grad():
        for i, t in enumerate(timesteps):
            output = unet(torch.cat([x, condition.mask, condition.masked_latents], 1), t, condition.text).sample
            alpha, sigma = (share.item() for share in signal_and_noise(scheduler, t))
            flow = isinstance(scheduler, FlowMatchEulerDiscreteScheduler)
            x0 = x - sigma * output if flow else alpha * x - sigma * output
            noise = x0 + output if flow else sigma * x + alpha * output
            if i + 1 == len(timesteps):
                break
            alpha, sigma = (share.item() for share in signal_and_noise(scheduler, timesteps[i + 1]))
            x = alpha * x0 + 0.9 * sigma * noise
    last = scheduler.final_alpha_cumprod**0.5 if not flow else 1.0
    assert torch.allclose(ours, last * x0 + (1 - last**2) ** 0.5 * noise, atol=1e-4)
    plain = rollout(unet, ready(scheduler)[0], condition, latents, timesteps)
    assert (ours - plain).abs().max() > 1e-2


def test_a_scheduler_with_noise_in_other_units_hands_on_all_of_it(unet, condition):
    found = []
    for scale in (1.0, 0.9):
        scheduler, timesteps = ready(EulerDiscreteScheduler())
        found.append(rollout(unet, scheduler, condition, rows(2, 4, 32, 32), timesteps, noise_scale=scale))
    assert torch.equal(*found)


@pytest.mark.parametrize("until", [0, 5, -1])
def test_until_out_of_range(unet, condition, until):
    scheduler, timesteps = ready(DDIMScheduler())
    with pytest.raises(ValueError, match=r"steps 4\.\.1"):
        rollout(unet, scheduler, condition, rows(2, 4, 32, 32), timesteps, until=until)


@pytest.mark.parametrize(
    ("scheduler", "kind"),
    [
        *itertools.product(
            [DPMSolverMultistepScheduler, UniPCMultistepScheduler], ["epsilon", "v_prediction", "sample"]
        ),
        (PNDMScheduler, "epsilon"),
        (PNDMScheduler, "v_prediction"),
    ],
)
def test_x0_where_the_scheduler_gives_none(scheduler, kind):
    """Against DDIM, which gives it."""
    output, latents = rows(1, 4, 8, 8), rows(1, 4, 8, 8, seed=1)
    reference = DDIMScheduler(prediction_type=kind, clip_sample=False)
    other, timesteps = ready(scheduler(prediction_type=kind))
    reference.set_timesteps(4)
    expected = reference.step(output, timesteps[1], latents).pred_original_sample
    assert torch.allclose(predict_x0(other, output, timesteps[1], latents), expected, atol=1e-4)


def test_x0_of_a_flow():
    scheduler, timesteps = ready(FlowMatchEulerDiscreteScheduler())
    clean, noise = rows(1, 4, 8, 8), rows(1, 4, 8, 8, seed=1)
    noisy = scheduler.scale_noise(clean, timesteps[1:2], noise)
    assert torch.allclose(predict_x0(scheduler, noise - clean, timesteps[1], noisy), clean, atol=1e-5)


def test_zero_terminal_snr(unet, condition):
    """v-prediction from pure noise at the last timestep: finite, and the masked picture is forgotten altogether."""
    scheduler, timesteps = ready(DDIMScheduler(**ZERO_SNR, clip_sample=False))
    assert timesteps[0] == 999
    noise = rows(2, 4, 32, 32)
    first = start(scheduler, noise, timesteps[:1].repeat(2), condition.masked_latents)
    assert torch.allclose(first, noise, atol=1e-6)
    assert torch.isfinite(rollout(unet, scheduler, condition, first, timesteps)).all()


def test_guidance_is_the_weighted_difference(unet, condition):
    scheduler, timesteps = ready(DDIMScheduler(clip_sample=False), 1)
    other = replace(condition, negative=rows(2, 16, 16, seed=7), guidance_scale=3.0)
    calls = []
    unet.register_forward_hook(lambda module, args, output: calls.append(args[0].shape[0]))
    guided = rollout(unet, scheduler, other, rows(2, 4, 32, 32), timesteps, until=1)
    plain = rollout(unet, scheduler, condition, rows(2, 4, 32, 32), timesteps, until=1)
    away = rollout(unet, scheduler, replace(condition, text=other.negative), rows(2, 4, 32, 32), timesteps, until=1)
    assert torch.allclose(guided, away + 3 * (plain - away), atol=1e-3)
    assert calls == [4, 2, 2]
    assert not replace(other, guidance_scale=1.0).guided


def test_a_plain_unet_keeps_what_is_known(condition):
    scheduler, timesteps = ready(DDIMScheduler())
    known, noise = rows(2, 4, 32, 32, seed=3), rows(2, 4, 32, 32)
    plain = replace(condition, image_latents=known)
    result = rollout(build_unet(4), scheduler, plain, noise, timesteps, noise=noise)
    outside = (condition.mask == 0).expand_as(known)
    assert torch.equal(result[outside], known[outside])
    assert not torch.equal(result[~outside], known[~outside])


def test_encode(condition):
    vae = build_vae()
    image, mask = rows(2, 3, 64, 64).clamp(-1, 1), torch.zeros(2, 1, 64, 64)
    mask[..., 16:40, 16:40] = 1
    text = rows(4, 16, 16)
    made = encode(vae, image, mask, text, generator=torch.Generator().manual_seed(1), guidance_scale=2.0)
    assert made.mask.shape == (4, 1, 32, 32)
    assert made.mask.unique().tolist() == [0, 1]
    assert made.masked_latents.shape == (4, 4, 32, 32)
    assert made.guidance_scale == 2.0
    assert torch.equal(made.masked_latents[0], made.masked_latents[1])
    assert not torch.equal(made.masked_latents[1], made.masked_latents[2])
    hole = encode_image(vae, image * (mask < 0.5), torch.Generator().manual_seed(1))
    assert torch.equal(made.masked_latents[::2], hole)


def test_one_generator_for_each_image():
    vae, image = build_vae(), rows(2, 3, 64, 64)
    generators = [torch.Generator().manual_seed(s) for s in (1, 2)]
    alone = encode_image(vae, image[1:], torch.Generator().manual_seed(2))
    assert torch.allclose(encode_image(vae, image, generators)[1:], alone, atol=1e-5)


def test_latents_are_not_encoded_again():
    latents = rows(1, 4, 32, 32)
    assert encode_image(build_vae(), latents) is latents


def test_spread_keeps_neighbours_together():
    assert spread(torch.tensor([[1], [2]]), 4).flatten().tolist() == [1, 1, 2, 2]
    with pytest.raises(ValueError, match="2 pictures"):
        spread(torch.tensor([[1], [2]]), 3)


def test_a_step_may_change_course_and_stop(unet, condition):
    scheduler, timesteps = ready(DDIMScheduler())
    seen = []

    def on_step(i, t, latents, current):
        seen.append((i, int(t), current.guidance_scale))
        return latents * 0, None if i == 1 else replace(current, guidance_scale=9.0)

    result = rollout(unet, scheduler, condition, rows(2, 4, 32, 32), timesteps, on_step=on_step)
    assert seen == [(0, int(timesteps[0]), 1.0), (1, int(timesteps[1]), 9.0)]
    assert result.abs().max() == 0


def test_decode_is_differentiable_and_not_clamped():
    latents = rows(1, 4, 32, 32).requires_grad_()
    image = decode(build_vae(), latents * 50)
    assert image.shape == (1, 3, 64, 64)
    image.sum().backward()
    assert latents.grad.abs().sum() > 0
