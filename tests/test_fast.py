"""Generator and discriminator beside slow references; who is called, whom a gradient reaches, and both in training."""

import math
import os
from dataclasses import replace

import pytest
import torch
from accelerate import PartialState
from diffusers import DDIMScheduler
from safetensors.torch import load_file, save_file

from byteedit.diffusion import decode, mode_latents
from byteedit.training.batches import Batches
from byteedit.training.fast import Adversarial, AdversarialSettings, fooling_loss
from byteedit.training.loop import begin, train
from byteedit.training.pefl import Feedback
from conftest import build_unet, build_vae
from toy_rewards import coherence
from toy_training import FORKS, equal, fresh, group, lines, reset  # noqa: F401

PartialState(cpu=True)
ZERO_SNR = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
SIDE = 32  # of the pictures, in pixels


def rows(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def settings_for(output="run", **changes):
    values = {"output": output, "steps": 4, "batch_size": 2, "lr": 1e-3, "lr_d": 1e-3, "T": 4, "T1": 3, "T2": 2}
    return AdversarialSettings(**values | {"adversarial_weight": 0.5, "weight": 0.1, "log_every": 1} | changes)


def brightness(image, prompt):
    return image.mean((1, 2, 3))


def words(prompt):
    return torch.stack([rows(16, 16, seed=len(word)) for word in prompt])


def build(**changes):
    """Both objectives on tiny random weights, and one reward beside them."""
    vae = build_vae().requires_grad_(False)
    scheduler = DDIMScheduler(clip_sample=False, **ZERO_SNR)
    settings = changes.pop("settings", None) or settings_for(**changes)
    rewards = {"brightness": (brightness, 1.0)}
    return Adversarial(build_unet(), vae, words, scheduler, rewards, settings, discriminator=coherence())


@pytest.fixture
def batch():
    mask = torch.zeros(2, 1, SIDE, SIDE)
    mask[:, :, 8:24, 8:16] = 1
    image = rows(2, 3, SIDE, SIDE).clamp(-1, 1)
    made = {"image": image, "mask": mask, "prompt": ["a", "bb"], "noise": rows(2, 4, SIDE // 2, SIDE // 2, seed=1)}
    return made | {"step": 0}


@pytest.fixture
def points(monkeypatch):
    """Which steps the rows' gradients are at: 2 and 1."""
    monkeypatch.setattr("byteedit.training.pefl.draw_points", lambda batch, settings: torch.tensor([[2], [1]]))


def gradients(module):
    return {name: value.grad for name, value in module.named_parameters() if value.grad is not None}


def predicted(adversarial, batch):
    """What the generator makes of the batch, row by row, with its graph and without parts: (2, 3, H, W)."""
    condition, latents, timesteps = adversarial.begin(batch)
    found = []
    for row, point in enumerate((2, 1)):
        own, x = condition.rows(torch.tensor([row])), latents[row : row + 1]
        for step in range(3, point - 1, -1):
            t = timesteps[3 - step]
            sample = torch.cat([x, own.mask, own.masked_latents], 1)
            with torch.set_grad_enabled(step == point):
                output = adversarial.unet(sample, t, own.text).sample
            done = adversarial.scheduler.step(output, t, x)
            x = done.prev_sample
        found.append(decode(adversarial.vae, done.pred_original_sample))
    return torch.cat(found)


# The equations


def test_fooling_is_eq_7_pixel_by_pixel():
    logits, fake = torch.tensor([[[[1.5, -2.0], [0.0, 3.0]]]]), torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    each = [-math.log(1 / (1 + math.exp(-value))) for value in (1.5, -2.0, 0.0, 3.0)]
    assert fooling_loss(logits, torch.ones_like(fake)).item() == pytest.approx(sum(each) / 4, rel=1e-5)
    assert fooling_loss(logits, fake).item() == pytest.approx(sum(each[:2]) / 2, rel=1e-5)
    assert fooling_loss(logits, torch.zeros_like(fake)).item() == 0


@pytest.mark.parametrize(("labels", "sees"), [("all", "decoded"), ("masked", "composite")])
def test_the_generators_loss_and_gradient_are_eq_8(batch, points, labels, sees):
    adversarial = build(d_labels=labels, sees=sees)
    terms = adversarial.loss(adversarial.unet, batch)
    terms["loss"].backward()
    ours = gradients(adversarial.unet)
    adversarial.unet.zero_grad()

    image, mask, edited = batch["image"], batch["mask"], predicted(adversarial, batch)
    seen = edited if sees == "decoded" else mask * edited + (1 - mask) * image
    counts = torch.ones_like(mask) if labels == "all" else mask
    fooled = -(torch.sigmoid(adversarial.discriminator(seen)).log() * counts).sum() / counts.sum()
    rewarded = torch.log(1 + torch.exp(-seen.mean((1, 2, 3)))).mean()
    kept = ((edited - image) / 2).abs().mean()
    loss = 0.1 * (rewarded + kept) + 0.5 * fooled
    loss.backward()
    assert terms["loss"].item() == pytest.approx(loss.item(), rel=1e-4)
    assert terms["reward/discriminator"].item() == pytest.approx(fooled.item(), rel=1e-4)
    slow = gradients(adversarial.unet)
    norm = torch.stack([value.norm() for value in slow.values()]).norm()
    assert norm > 1e-6
    assert torch.stack([(ours[name] - slow[name]).norm() for name in slow]).norm() < 1e-3 * norm


@pytest.mark.parametrize("real", ["image", "reconstruction"])
@pytest.mark.parametrize(("labels", "sees"), [("all", "decoded"), ("masked", "decoded"), ("masked", "composite")])
def test_the_discriminators_loss_is_eq_6(batch, points, real, labels, sees):
    adversarial = build(d_real=real, d_labels=labels, sees=sees)
    adversarial.loss(adversarial.unet, batch)
    terms = adversarial.discern(adversarial.discriminator, batch)
    with torch.no_grad():
        shown, fake = batch["image"], predicted(adversarial, batch)
        if real == "reconstruction":
            shown = decode(adversarial.vae, mode_latents(adversarial.vae, shown))
        if sees == "composite":
            shown, fake = (torch.where(batch["mask"] > 0, image, batch["image"]) for image in (shown, fake))
        is_real, is_fake = (torch.sigmoid(adversarial.discriminator(image)) for image in (shown, fake))
        counts = torch.ones_like(batch["mask"]) if labels == "all" else batch["mask"]
        on_fake = counts * (1 - is_fake).log() + (1 - counts) * is_fake.log()
        right = ((is_real > 0.5).float().mean() + ((is_fake > 0.5) == (counts < 0.5)).float().mean()) / 2
    assert terms["loss"].item() == pytest.approx(-(is_real.log().mean() + on_fake.mean()).item() / 2, rel=1e-4)
    assert terms["accuracy"].item() == pytest.approx(right.item(), abs=1e-3)


def test_r1_is_the_squared_slope_at_real_pictures(batch, points):
    adversarial = build(r1_gamma=3.0)
    adversarial.loss(adversarial.unet, batch)
    terms = adversarial.discern(adversarial.discriminator, batch)
    plain = build()
    plain.loss(plain.unet, batch)
    plain = plain.discern(plain.discriminator, batch)
    direction, step, slopes = rows(2, 3, SIDE, SIDE, seed=5), 1e-2, []
    for image in batch["image"].split(1):
        shown = image.clone().requires_grad_()
        adversarial.discriminator(shown).mean().backward()
        slopes.append(shown.grad)
    adversarial.discriminator.zero_grad()
    with torch.no_grad():
        ahead, behind = (adversarial.discriminator(batch["image"] + s * direction) for s in (step, -step))
    along = ((ahead - behind).mean((1, 2, 3)) / (2 * step)).tolist()
    assert [(slope * one).sum().item() for slope, one in zip(slopes, direction, strict=True)] == pytest.approx(
        along, rel=0.05
    )
    assert terms["r1"].item() == pytest.approx(1.5 * sum(s.square().sum().item() for s in slopes) / 2, rel=1e-3)
    assert terms["loss"].item() == pytest.approx(plain["loss"].item() + terms["r1"].item(), rel=1e-4)
    assert terms["coherence"].item() == pytest.approx(plain["loss"].item(), rel=1e-4)
    terms["r1"].backward()
    assert adversarial.discriminator.head[0].weight.grad.abs().sum() > 0


def test_the_generator_hears_of_the_discriminator_from_its_step_on(batch, points):
    adversarial = build(d_start=3)
    early, late = (adversarial.loss(adversarial.unet, batch | {"step": step}) for step in (2, 3))
    assert early["reward/discriminator"].item() == late["reward/discriminator"].item() > 0
    fooled = 0.5 * late["reward/discriminator"].item()
    assert late["loss"].item() == pytest.approx(early["loss"].item() + fooled, rel=1e-5)
    parts = ("unet", "vae", "encode_text", "scheduler", "rewards", "settings")
    alone = Feedback(*(getattr(adversarial, name) for name in parts)).loss(adversarial.unet, batch)
    assert early["loss"].item() == pytest.approx(alone["loss"].item(), rel=1e-5)


# Who is called, and who is reached


def test_neither_leaves_a_gradient_in_the_other(batch, points):
    adversarial = build()
    unet, discriminator = adversarial.unet, adversarial.discriminator
    adversarial.loss(unet, batch)["loss"].backward()
    assert len(gradients(unet)) == len(list(unet.parameters()))
    assert gradients(discriminator) == gradients(adversarial.vae) == {}
    assert all(value.requires_grad for value in discriminator.parameters())
    unet.zero_grad()
    adversarial.discern(discriminator, batch)["loss"].backward()
    assert len(gradients(discriminator)) == len(list(discriminator.parameters()))
    assert gradients(unet) == gradients(adversarial.vae) == {}


@pytest.mark.parametrize("real", ["image", "reconstruction"])
def test_a_step_costs_one_rollout(batch, points, real):
    """The rollout's UNet calls, one decode of each prediction, and one call of the prepared discriminator."""
    adversarial = build(d_real=real)
    counts = {"unet": [], "decoder": [], "discriminator": []}
    modules = {"unet": adversarial.unet, "decoder": adversarial.vae.decoder, "discriminator": adversarial.discriminator}
    for name, module in modules.items():
        module.register_forward_hook(lambda m, args, output, name=name: counts[name].append(len(args[0])))
    adversarial.loss(adversarial.unet, batch)
    assert counts == {"unet": [2, 1, 2], "decoder": [1, 1], "discriminator": [1, 1]}
    adversarial.discern(adversarial.discriminator, batch)
    assert counts["unet"] == [2, 1, 2]
    assert counts["decoder"] == [1, 1] + [2] * (real == "reconstruction")
    assert counts["discriminator"] == [1, 1, 4]


# Both trained

ITEMS = [{"number": number} for number in range(16)]


def prepare(row, rng):
    """A picture whose noise depends on its row alone."""
    number = row["number"]
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, 8:24, 8:24] = 1
    image = rows(3, SIDE, SIDE, seed=number).clamp(-1, 1)
    half = SIDE // 2
    return {"image": image, "mask": mask, "prompt": "a" * (number % 3), "noise": rows(4, half, half, seed=99 - number)}


def run(settings, stop=None):
    """Train both; what is kept of them. `stop`: the call of the discriminator that is interrupted."""
    adversarial, calls = build(settings=settings), []
    accelerator = begin(settings, cpu=True)
    share = {"process": accelerator.process_index, "processes": accelerator.num_processes}
    batches = Batches(dataset=ITEMS, prepare=prepare, batch_size=settings.batch_size, seed=settings.seed, **share)
    generator, discriminator = adversarial.objectives(adversarial.unet)

    def discern(model, batch):
        calls.append(batch["step"])
        if len(calls) == stop:
            raise KeyboardInterrupt
        return adversarial.discern(model, batch)

    objectives = [generator, replace(discriminator, loss=discern)]
    return train(accelerator, objectives, batches, settings)


def test_a_run_that_was_stopped_ends_with_the_same_weights_of_both(tmp_path):
    changes = {"ema_decay": 0.5, "warmup": 1, "accumulate": 2, "d_start": 2, "batch_size": 1}
    whole, parts = (settings_for(tmp_path / name, **changes) for name in ("whole", "parts"))
    kept = run(whole)
    with pytest.raises(KeyboardInterrupt):
        run(replace(parts, checkpoint_every=1), stop=6)
    again = run(replace(parts, checkpoint_every=1))
    for name in ("generator", "discriminator"):
        assert equal(kept[name], again[name])
    last = "checkpoints/step-00000004"
    for file in ("optimizer.bin", "optimizer_1.bin"):
        ours, theirs = (torch.load(s.output / last / file, weights_only=True)["state"] for s in (whole, parts))
        assert all(torch.equal(ours[n]["exp_avg_sq"], theirs[n]["exp_avg_sq"]) for n in ours)
    means = load_file(whole.output / last / "means.safetensors")
    assert means and all(name.startswith("generator/") for name in means)
    logged = lines(whole, "generator/loss", "discriminator/loss")
    assert logged == lines(parts, "generator/loss", "discriminator/loss") and len(logged) == 4


def child(settings, environment):
    """A process's share of a run."""
    reset()
    os.environ |= environment
    torch.set_num_threads(1)
    kept = run(settings)
    if int(environment.get("RANK", 0)) == 0:
        save_file({f"{n}/{key}": v for n, state in kept.items() for key, v in state.items()}, settings.output / "kept")


@pytest.mark.slow
def test_two_processes_equal_one_with_batches_twice_as_large(tmp_path):
    """Every row passes all points, so that what is drawn makes no difference."""
    changes = {"points": 2, "clip": 1e-3, "r1_gamma": 1.0, "lr": 1e-4, "lr_d": 1e-4}
    one, two = (settings_for(tmp_path / name, batch_size=size, **changes) for name, size in (("one", 4), ("two", 2)))
    jobs = [(one, {}), *((two, rank) for rank in group(2))]
    processes = [FORKS.Process(target=child, args=job) for job in jobs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        assert process.exitcode == 0
    ours, theirs = (load_file(settings.output / "kept") for settings in (one, two))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    for name in ("generator/loss", "discriminator/loss", "discriminator/r1"):
        found = [[line[name] for line in lines(settings, name)] for settings in (one, two)]
        assert found[0] == pytest.approx(found[1], rel=1e-3)
    start = build_unet().state_dict()
    moved = max((ours[f"generator/{name}"] - value).abs().max() for name, value in start.items())
    assert moved > 1e-4
