"""Perceptual feedback learning beside a slow, obvious reference; what is called, what is scored, what is trained."""

import math

import numpy as np
import pytest
import torch
from accelerate import PartialState
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from byteedit.diffusion import decode
from byteedit.training.pefl import Feedback, FeedbackSettings, Prediction
from conftest import build_unet, build_vae

PartialState(cpu=True)
ZERO_SNR = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
SCHEDULERS = {
    "epsilon": lambda: DDIMScheduler(timestep_spacing="trailing", clip_sample=False),
    "v_prediction": lambda: DDIMScheduler(clip_sample=False, **ZERO_SNR),
    "flow": FlowMatchEulerDiscreteScheduler,
}


def rows(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def settings_for(**changes):
    values = {"output": "run", "steps": 1, "batch_size": 3, "lr": 1e-3, "T": 8, "T1": 6, "T2": 4}
    return FeedbackSettings(**values | changes)


def brightness(image, prompt):
    return image.mean((1, 2, 3))


def redness(image, prompt):
    return (image[:, 0] - image[:, 1]).mean((1, 2)) * torch.tensor([float(len(words)) for words in prompt])


def layers(image):
    return [image[..., ::2, ::2] ** 2, image.mean((2, 3))]


def three_rows():
    mask = torch.zeros(3, 1, 64, 64)
    mask[:, :, 16:48, 16:48] = 1
    image = rows(3, 3, 64, 64).clamp(-1, 1)
    return {"image": image, "mask": mask, "prompt": ["a", "bb", "ccc"], "noise": rows(3, 4, 32, 32, seed=1)}


@pytest.fixture
def batch():
    return three_rows()


def build(kind="v_prediction", features=layers, **changes):
    """The objective on tiny random weights, two rewards and two layers of features."""
    unet, vae = build_unet(), build_vae().requires_grad_(False)
    texts = {words: rows(16, 16, seed=len(words)) for words in ("", "a", "bb", "ccc")}
    rewards = {"brightness": (brightness, 1.0), "redness": (redness, 0.5)}
    return Feedback(
        unet,
        vae,
        lambda prompt: torch.stack([texts[words] for words in prompt]),
        SCHEDULERS[kind](),
        rewards,
        settings_for(**changes),
        features,
    )


def gradients(feedback, loss):
    feedback.unet.zero_grad()
    loss.backward()
    return torch.cat([value.grad.flatten() for value in feedback.unet.parameters()])


# The method


def slow_loss(feedback, batch, ends, kind):
    """Row by row and step by step down to each row's end, from the paper's formulas alone; the last `grad_steps` steps,
    or else the very last, have a gradient.
    """
    settings, scheduler = feedback.settings, feedback.scheduler
    scheduler.set_timesteps(settings.T)
    times = scheduler.timesteps
    losses = []

    def shares(t):
        if kind == "flow":
            return 1 - t / 1000, t / 1000
        bar = scheduler.alphas_cumprod[int(t)]
        return bar.sqrt(), (1 - bar).sqrt()

    def clean(x, output, t):
        alpha, sigma = shares(t)
        return {
            "epsilon": lambda: (x - sigma * output) / alpha,
            "v_prediction": lambda: alpha * x - sigma * output,
            "flow": lambda: x - sigma * output,
        }[kind]()

    for i in range(3):
        image, mask = batch["image"][i : i + 1], batch["mask"][i : i + 1]
        with torch.no_grad():
            masked = feedback.vae.encode(image * (1 - mask)).latent_dist.mode() * feedback.vae.config.scaling_factor
        text, small = feedback.encode_text(batch["prompt"][i : i + 1]), mask[..., ::2, ::2]
        alpha, sigma = shares(times[settings.T - settings.T1])
        x = alpha * masked + sigma * batch["noise"][i : i + 1]
        for step in range(settings.T1, 0, -1):
            t = times[settings.T - step]
            with torch.set_grad_enabled(step < ends[i] + max(settings.grad_steps, 1)):
                seen = torch.cat([x, small, masked], 1)
                output = feedback.unet(seen, t, text).sample
                if settings.rollout_guidance > 1 and settings.T - step < settings.rollout_guidance_end * settings.T:
                    empty = feedback.unet(seen, t, feedback.encode_text([""])).sample
                    output = empty + settings.rollout_guidance * (output - empty)
            x0 = clean(x, output, t)
            if step == ends[i]:
                break
            alpha, sigma = shares(t)
            noise = (x - alpha * x0) / sigma if alpha < 1 else torch.zeros_like(x)
            if step > 1:
                alpha, sigma = shares(times[settings.T - step + 1])
                x = alpha * x0 + sigma * noise * settings.noise_scale
        edited = decode(feedback.vae, x0)
        scores = [brightness(edited, None), redness(edited, batch["prompt"][i : i + 1])]
        rewards = [-math.log(1 / (1 + math.exp(-score.item()))) for score in scores]
        regular = ((edited - image) / 2).abs().mean()
        deep = sum((a - b).abs().mean() for a, b in zip(layers(edited), layers(image), strict=True)) / 2
        value = settings.weight * (rewards[0] + 0.5 * rewards[1] + regular.item() + deep.item())
        loss = torch.log1p((-scores[0]).exp()) + 0.5 * torch.log1p((-scores[1]).exp()) + regular + deep
        loss = settings.weight * loss.squeeze()
        assert loss.item() == pytest.approx(value, rel=1e-4)
        losses.append(loss)
    return torch.stack(losses).mean()


@pytest.mark.parametrize(("kind", "guidance"), [*((kind, 1.0) for kind in SCHEDULERS), ("v_prediction", 2.5)])
def test_the_loss_and_its_gradient_are_the_papers(batch, kind, guidance, monkeypatch):
    feedback = build(kind, rollout_guidance=guidance)
    points = torch.tensor([[4], [1], [2]])
    monkeypatch.setattr("byteedit.training.pefl.draw_points", lambda batch, settings: points)
    terms = feedback.loss(feedback.unet, batch)
    fast = gradients(feedback, terms["loss"])
    reference = slow_loss(feedback, batch, points.flatten().tolist(), kind)
    assert terms["loss"].item() == pytest.approx(reference.item(), rel=1e-4)
    slow = gradients(feedback, reference)
    assert slow.norm() > 1e-6
    assert (fast - slow).norm() < 1e-3 * slow.norm()


WHOLE = [*((kind, {"grad_steps": 2}) for kind in SCHEDULERS), *(("epsilon", {"grad_steps": n}) for n in (1, 8))]
LESS_NOISE = [(kind, {"grad_steps": 4, "noise_scale": 0.9}) for kind in SCHEDULERS]
GUIDED = [
    ("v_prediction", {"grad_steps": 6, "rollout_guidance": 2.5} | more)
    for more in ({}, {"rollout_guidance_end": 0.5}, {"rollout_guidance_end": 0.125})
]


@pytest.mark.parametrize(("kind", "changes"), [*WHOLE, *LESS_NOISE, *GUIDED])
def test_the_gradient_passes_the_last_steps_of_a_whole_rollout(batch, kind, changes):
    feedback = build(kind, **changes)
    terms = feedback.loss(feedback.unet, batch)
    ours = gradients(feedback, terms["loss"])
    reference = slow_loss(feedback, batch, [1, 1, 1], kind)
    assert terms["loss"].item() == pytest.approx(reference.item(), rel=1e-4)
    slow = gradients(feedback, reference)
    assert slow.norm() > 1e-6
    assert (ours - slow).norm() < 1e-3 * slow.norm()


@pytest.mark.parametrize(("grad_steps", "graded"), [(1, 1), (4, 4), (8, 6)])
def test_unet_calls_of_whole_rollouts(batch, grad_steps, graded):
    """All T1 steps of every row are taken, the last of them with gradient; what each row ends with is scored."""
    feedback, calls, scored = build(grad_steps=grad_steps), {True: 0, False: 0}, []
    feedback.rewards = {"seen": (lambda image, prompt: scored.extend(prompt) or image.mean((1, 2, 3)), 1.0)}

    def count(module, args, output):
        calls[torch.is_grad_enabled()] += len(args[0])

    feedback.unet.register_forward_hook(count)
    feedback.loss(feedback.unet, batch)
    assert calls == {True: 3 * graded, False: 3 * (6 - graded)}
    assert scored == batch["prompt"]


@pytest.mark.parametrize("points", [1, 2])
def test_unet_calls(batch, points, monkeypatch):
    """A row takes T1 - t' calls without gradient to its last t', and one with gradient for each; its picture is looked
    at once.
    """
    looked = []
    feedback = build(points=points, T2=6, features=lambda image: looked.append(len(image)) or layers(image))
    drawn = torch.tensor([[6, 3], [1, 4], [2, 5]])[:, :points]
    monkeypatch.setattr("byteedit.training.pefl.draw_points", lambda batch, settings: drawn)
    calls = {True: 0, False: 0}

    def count(module, args, output):
        calls[torch.is_grad_enabled()] += len(args[0])

    feedback.unet.register_forward_hook(count)
    feedback.loss(feedback.unet, batch)
    assert calls == {True: 3 * points, False: sum(6 - int(row.min()) for row in drawn)}
    assert sum(looked) == 3 + 3 * points


def test_two_points_of_a_rollout_are_those_of_two_rollouts(batch, monkeypatch):
    drawn = torch.tensor([[3, 1], [2, 4], [4, 1]])
    monkeypatch.setattr("byteedit.training.pefl.draw_points", lambda batch, settings: drawn)
    both = build(points=2).loss(build_unet(), batch)["loss"]
    single = []
    for column in (0, 1):
        monkeypatch.setattr("byteedit.training.pefl.draw_points", lambda b, s, c=column: drawn[:, c : c + 1])
        single.append(build().loss(build_unet(), batch)["loss"])
    assert both.item() == pytest.approx(torch.stack(single).mean().item(), rel=1e-5)


# What is scored and trained


def test_rewards_see_the_decode_as_it_is_or_pasted(batch):
    seen = []

    def watch(image, prompt):
        seen.append((image.detach(), prompt))
        return image.mean((1, 2, 3))

    for sees in ("decoded", "composite"):
        feedback = build(sees=sees, part=0)
        feedback.vae.decoder.conv_out.weight.data *= 30  # beyond [-1, 1]
        feedback.rewards = {"watch": (watch, 1.0)}
        feedback.loss(feedback.unet, batch)
    (raw, prompt), (pasted, _) = seen
    assert sorted(prompt) == ["a", "bb", "ccc"]
    assert raw.abs().max() > 1, "nothing is clamped"
    order = [batch["prompt"].index(words) for words in seen[1][1]]
    outside = batch["mask"][order].expand_as(pasted) == 0
    assert torch.equal(pasted[outside], batch["image"][order][outside])


@pytest.mark.parametrize(
    ("changes", "inside", "outside"),
    [
        ({}, 1, 1),
        ({"region": "masked"}, 1, 0),
        ({"region": "unmasked"}, 0, 1),
        ({"region": "weighted"}, 1, 0.15),
        ({"region": "weighted", "outside": 3}, 1, 3),
    ],
)
def test_l_reg_weighs_pixels_by_the_mask(batch, changes, inside, outside):
    feedback = build(**changes)
    image, mask = batch["image"], batch["mask"]
    edited = image + rows(*image.shape)
    found = feedback.weigh(Prediction(edited, edited, image, mask, batch["prompt"]))["reg"]
    weight = torch.where(mask > 0, inside, outside).expand_as(image)
    assert found.item() == pytest.approx(np.average((edited - image).abs() / 2, weights=weight), rel=1e-5)


def test_the_gradient_reaches_what_is_trained_and_nothing_else(batch):
    feedback = build()
    feedback.unet.requires_grad_(False)
    feedback.unet.conv_in.requires_grad_(True)
    feedback.loss(feedback.unet, batch)["loss"].backward()
    reached = {name for name, value in feedback.unet.named_parameters() if value.grad is not None}
    assert reached == {"conv_in.weight", "conv_in.bias"}
    assert feedback.unet.conv_in.weight.grad.abs().sum() > 0
    assert all(value.grad is None for value in feedback.vae.parameters())


def test_parts_change_memory_and_nothing_else(batch, monkeypatch):
    monkeypatch.setattr("byteedit.training.pefl.draw_points", lambda batch, settings: torch.tensor([[4], [1], [2]]))
    found = []
    for part in (0, 1, 2):
        feedback = build(part=part)
        terms = feedback.loss(feedback.unet, batch)
        found.append((terms, gradients(feedback, terms["loss"])))
    for terms, gradient in found[1:]:
        assert terms.keys() == found[0][0].keys() >= {"loss", "score/redness", "reward/brightness", "reg", "vgg"}
        for name, term in terms.items():
            torch.testing.assert_close(term, found[0][0][name], rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-4, atol=1e-8)
