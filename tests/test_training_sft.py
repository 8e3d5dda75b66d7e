"""The supervised stage beside slow, obvious references for all predictions; a tiny run learns, resumes, is saved."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, UNet2DConditionModel
from PIL import Image

from byteedit import ByteEditInpaintPipeline
from byteedit.data.edits import open_edits
from byteedit.data.skipped import Skipped
from byteedit.diffusion import signal_and_noise, x0_of
from byteedit.training.base import encode_text, held_out_batches, make_items, open_base, training_scheduler
from byteedit.training.loop import begin
from byteedit.training.sft import (
    Denoising,
    InpaintSettings,
    denoising_loss,
    draw,
    fit,
    min_snr,
    target,
)
from conftest import build_unet, build_vae
from test_edits import png, write_tar
from toy_training import Prepared, fresh  # noqa: F401

ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
SCHEDULERS = {
    "epsilon": lambda: DDIMScheduler(clip_sample=False),
    "v_prediction": lambda: DDIMScheduler(clip_sample=False, prediction_type="v_prediction", **ZERO_SNR),
    "sample": lambda: DDIMScheduler(clip_sample=False, prediction_type="sample"),
    "flow_prediction": FlowMatchEulerDiscreteScheduler,
}
KINDS = pytest.mark.parametrize("kind", SCHEDULERS)


def rows(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def settings_for(output, **changes):
    values = {"output": output, "base": "none", "data": "picturebook", "steps": 4, "batch_size": 3, "lr": 2e-3}
    return InpaintSettings(**values | {"size": 32, "drop_prompt": 0.2, "log_every": 1, "seed": 1} | changes)


@pytest.fixture
def base(pipe, tmp_path):
    """The folder of a tiny pipeline."""
    pipe.save_pretrained(tmp_path / "base")
    return str(tmp_path / "base")


def three_rows():
    mask = torch.zeros(3, 1, 32, 32)
    mask[:, :, 8:24, 8:20] = 1
    mask[2] = 1
    image = rows(3, 3, 32, 32).clamp(-1, 1)
    made = {"image": image, "mask": mask, "prompt": ["a", "", "bb"], "noise": rows(3, 4, 16, 16, seed=1)}
    return made | {"time": torch.tensor([0.1, 0.6, 0.95])}


@pytest.fixture
def batch():
    return three_rows()


def words(prompt):
    return torch.stack([rows(16, 16, seed=len(word)) for word in prompt])


def stage_of(kind, **changes):
    return Denoising(build_vae().requires_grad_(False), words, SCHEDULERS[kind](), settings_for("run", **changes))


@KINDS
def test_the_target_is_the_answer_that_gives_the_clean_latents_back(kind):
    scheduler, t = SCHEDULERS[kind](), torch.tensor([3, 500, 900])
    alpha, sigma = (share.view(-1, 1, 1, 1) for share in signal_and_noise(scheduler, t))
    x0, noise = rows(3, 4, 8, 8), rows(3, 4, 8, 8, seed=1)
    answer = target(kind, x0, noise, alpha, sigma)
    torch.testing.assert_close(x0_of(scheduler, answer, t, alpha * x0 + sigma * noise), x0, atol=1e-3, rtol=1e-3)


def test_an_unknown_prediction_is_refused():
    with pytest.raises(ValueError, match="prediction_type is 'score'"):
        target("score", *[rows(1, 4, 2, 2)] * 2, *[torch.ones(1, 1, 1, 1)] * 2)


def test_the_loss_is_a_weighted_mean():
    output, answer, weight = rows(2, 4, 3, 3), rows(2, 4, 3, 3, seed=1), rows(2, 1, 3, 3, seed=2).abs()
    for row, loss in enumerate(denoising_loss(output, answer, weight).tolist()):
        total = sum(
            float(weight[row, 0, y, x]) * sum(float(output[row, c, y, x] - answer[row, c, y, x]) ** 2 for c in range(4))
            for y in range(3)
            for x in range(3)
        )
        assert loss == pytest.approx(total / 4 / float(weight[row].sum()), rel=1e-5)
    assert denoising_loss(output, answer, torch.zeros(2, 1, 3, 3)).tolist() == [0, 0]


@KINDS
def test_min_snr_weighs_the_error_of_the_clean_latents(kind):
    scheduler, t, gamma = SCHEDULERS[kind](), torch.tensor([20, 500, 900]), 5.0
    alpha, sigma = signal_and_noise(scheduler, t)
    output, answer, noisy = (rows(3, 4, 8, 8, seed=seed) for seed in range(3))
    error = x0_of(scheduler, output, t, noisy) - x0_of(scheduler, answer, t, noisy)
    expected = (alpha / sigma).square().clamp(max=gamma) * error.square().mean((1, 2, 3))
    ours = min_snr(kind, alpha, sigma, gamma) * (output - answer).square().mean((1, 2, 3))
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-6)


def test_min_snr_of_pure_noise_is_finite():
    alpha, sigma = torch.zeros(1), torch.ones(1)
    assert [min_snr(kind, alpha, sigma, 5.0).item() for kind in SCHEDULERS] == [1, 0, 0, 0]
    assert min_snr("flow_prediction", sigma, alpha, 5.0).item() == 0


@KINDS
@pytest.mark.parametrize(("outside", "gamma"), [(1.0, 0.0), (0.25, 5.0)])
def test_the_objective_is_what_is_written_out_row_by_row(kind, outside, gamma, batch):
    stage, unet = stage_of(kind, outside=outside, min_snr=gamma), build_unet()
    losses, inside = [], []
    with torch.no_grad():
        ours = stage.loss(unet, batch)
        for row in range(3):
            image, mask, noise = (batch[name][row : row + 1] for name in ("image", "mask", "noise"))
            x0, masked = (
                stage.vae.encode(x).latent_dist.mean * stage.vae.config.scaling_factor
                for x in (image, image * (1 - mask))
            )
            small = mask[..., ::2, ::2]
            if kind == "flow_prediction":
                t = batch["time"][row] * 1000
                noisy, answer = (1 - t / 1000) * x0 + t / 1000 * noise, noise - x0
            else:
                t = (batch["time"][row] * 1000).long()
                noisy = stage.scheduler.add_noise(x0, noise, t[None])
                answers = {"epsilon": noise, "sample": x0}
                answer = answers[kind] if kind in answers else stage.scheduler.get_velocity(x0, noise, t[None])
            output = unet(torch.cat([noisy, small, masked], 1), t, words(batch["prompt"][row : row + 1])).sample
            error = (output - answer).square()
            weight = (small + outside * (1 - small)).expand_as(error)
            loss = (error * weight).sum() / weight.sum()
            if gamma:
                alpha, sigma = signal_and_noise(stage.scheduler, t)
                loss = loss * min_snr(kind, alpha, sigma, gamma)
            losses.append(loss)
            inside.append(error[small.expand_as(error) > 0].mean())
    torch.testing.assert_close(ours["loss"], torch.stack(losses).mean(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours["inside"], torch.stack(inside).mean(), rtol=1e-4, atol=1e-6)


def test_the_gradient_goes_through_the_module_that_is_given_to_the_unet_alone(batch):
    stage, prepared = stage_of("v_prediction"), Prepared(build_unet())
    stage.loss(prepared, batch)["loss"].backward()
    assert prepared.graded == 1
    assert all(value.grad is not None for value in prepared.parameters())
    assert all(value.grad is None for value in stage.vae.parameters())


def test_the_noisiest_step_is_trained_and_none_beyond():
    item = {"image": torch.zeros(3, 32, 48)}
    drawn = [draw(item, np.random.default_rng(seed), cell=8) for seed in range(300)]
    assert drawn[0]["noise"].shape == (4, 4, 6)
    time = torch.stack([one["time"] for one in drawn])
    assert time.min() < 0.02 and 0.98 < time.max() < 1
    almost = torch.tensor([0.0, 0.9999, 1 - 2**-24])
    assert stage_of("epsilon").timestep(almost).tolist() == [0, 999, 999]
    assert stage_of("flow_prediction").timestep(almost)[2] > 999.9


def test_held_out_rows_are_always_the_same_and_broken_ones_are_left_out(pipe, tmp_path):
    files = {"0.png": b"broken", "0.txt": b"a", "1.png": png((9, 200, 9)), "1.txt": b"b", "2.png": png((9, 9, 9))}
    edits, skipped = open_edits(write_tar(tmp_path / "a.tar", files | {"2.txt": b"c"}), Skipped()), Skipped()
    settings = settings_for(tmp_path, held_out_rows=2, batch_size=1, held_out="a.tar")
    items = make_items(pipe, edits, settings, lambda item, rng: draw(item, rng, cell=2))
    once, again = (held_out_batches(edits, items, settings, skipped) for _ in range(2))
    assert len(once) == 2 and skipped.reasons == {"broken image": 2}
    assert all(torch.equal(a[name], b[name]) for a, b in zip(once, again, strict=True) for name in ("image", "noise"))
    write_tar(tmp_path / "a.tar", {"0.png": b"broken", "0.txt": b"a"})
    with pytest.raises(ValueError, match=r"a.tar has no row that can be used: 3 rows skipped \(broken image: 3\)"):
        held_out_batches(edits, items, settings, skipped)


def run(settings):
    return fit(begin(settings, cpu=True), open_base(settings), settings)


def logged(settings, name):
    log = [json.loads(line) for line in (settings.output / "log.jsonl").read_text().splitlines()]
    return [line[name] for line in log if name in line]


def unet_of(folder: Path):
    return UNet2DConditionModel.from_pretrained(folder / "unet")


def test_a_tiny_run_learns_and_keeps_its_best_weights(base, tmp_path):
    settings = settings_for(
        tmp_path / "run",
        base=base,
        steps=24,
        ema_decay=0.8,
        held_out="picturebook:validation",
        held_out_rows=8,
        validate_every=6,
        watch="minus_loss",
        log_every=6,
    )
    measures = run(settings)
    losses = logged(settings, "validation/loss")
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.9 * losses[0]
    assert measures["loss"] == pytest.approx(min(losses), rel=1e-3)
    assert logged(settings, "inpaint/inside")[-1] < logged(settings, "inpaint/inside")[0]
    tuned = ByteEditInpaintPipeline.from_pretrained(base, unet=unet_of(settings.output))
    assert tuned.unet.config.in_channels == 9
    assert not torch.equal(tuned.unet.conv_in.weight, unet_of(Path(base)).conv_in.weight)
    sheet = np.asarray(Image.open(settings.output / "validation" / "kept.png")).astype(float)
    assert sheet.shape == (2 * 36 - 4, 4 * 68 - 4, 3)  # eight rows, each the masked picture beside the edited one
    assert np.abs(sheet[:32, :32] - sheet[:32, 32:64]).max() > 30


def shards(folder):
    """Two tars of three pictures each, one of them broken."""
    folder.mkdir()
    for shard in range(2):
        files = {}
        for number in range(3):
            colour = (80 * shard + 30 * number, 90, 200)
            files |= {f"{number}.png": b"broken" if (shard, number) == (1, 1) else png(colour), f"{number}.txt": b"a"}
        write_tar(folder / f"{shard}.tar", files)
    return str(folder)


@pytest.mark.parametrize("data", ["picturebook", "tars"])
def test_a_run_that_was_stopped_ends_with_the_same_weights(base, tmp_path, data, monkeypatch, caplog):
    source = shards(tmp_path / "tars") if data == "tars" else data
    whole = settings_for(tmp_path / "whole", base=base, data=source, ema_decay=0.5, batch_size=2)
    assert run(whole) == {}
    parts, losses = replace(whole, output=tmp_path / "parts", checkpoint_every=1), []
    learn = Denoising.loss

    def stopping(self, unet, batch):
        losses.append(batch["prompt"])
        if len(losses) == 3:
            raise KeyboardInterrupt
        return learn(self, unet, batch)

    monkeypatch.setattr(Denoising, "loss", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(parts)
    monkeypatch.setattr(Denoising, "loss", learn)
    run(parts)
    ours, theirs = (unet_of(settings.output).state_dict() for settings in (parts, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert logged(parts, "inpaint/loss") == logged(whole, "inpaint/loss")
    assert ("broken image" in caplog.text) == (data == "tars")


def test_a_lora_is_trained_where_a_rank_is_set(base, tmp_path):
    settings = settings_for(tmp_path / "run", base=base, rank=2, held_out="picturebook:test", held_out_rows=3)
    measures = run(settings)
    assert not (settings.output / "unet").exists()
    pipe = ByteEditInpaintPipeline.from_pretrained(base)
    stage = Denoising(pipe.vae, lambda prompt: encode_text(pipe, prompt), training_scheduler(pipe.scheduler), settings)
    edits = open_edits("picturebook:test", Skipped())
    items = make_items(pipe, edits, settings, lambda item, rng: draw(item, rng, cell=2))
    known = held_out_batches(edits, items, settings, Skipped())
    before = stage.measure(pipe.unet, known).item()
    pipe.load_lora_weights(settings.output / "lora")
    assert measures["loss"] == pytest.approx(stage.measure(pipe.unet, known).item(), rel=1e-5)
    assert abs(measures["loss"] - before) > 1e-5


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="outside is -1"):
        settings_for("run", outside=-1)
    with pytest.raises(ValueError, match="patience needs a measure"):
        settings_for("run", patience=2)
