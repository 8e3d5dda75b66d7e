"""The supervised stage: an inpainting model learns to denoise pictures under masks, as the paper's fine-tuning does.

The losses are free functions, `Denoising` is the objective, `fit` the whole stage. What is tuned, and how it is opened
and written, is in `base`; what it learns from in `items` and `streams`.
Sources: Stable Diffusion's inpainting, ByteEdit (arXiv 2404.04860), min-SNR (arXiv 2303.09556).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from accelerate import Accelerator
from numpy.random import Generator
from torch import Tensor, nn

from byteedit import ByteEditInpaintPipeline
from byteedit.data.skipped import Skipped
from byteedit.diffusion import Condition, encode, is_flow, mode_latents, predict, signal_and_noise
from byteedit.training.adapters import warn_of_schedule
from byteedit.training.base import (
    TuneSettings,
    as_written,
    encode_text,
    make_items,
    open_data,
    open_held_out,
    to_device,
    training_scheduler,
    write,
)
from byteedit.training.batches import Batch, Row
from byteedit.training.checkpoints import sharded
from byteedit.training.loop import Objective, train
from byteedit.training.streams import open_batches
from byteedit.training.watching import HeldOut, keep_sheet

__all__ = ["Denoising", "InpaintSettings", "denoising_loss", "draw", "fit", "less_of_the_prompt", "min_snr", "target"]

SHOWN = 8  # held-out rows, at most, whose edits are shown when training is over


@dataclass(kw_only=True)
class InpaintSettings(TuneSettings):
    """The settings of the supervised stage."""

    outside: float = 1.0
    """Weight of the loss outside the mask; inside it is 1. (Stable Diffusion: 1, the mean over all pixels)"""
    min_snr: float = 0.0
    """Gamma of the min-SNR weighting of timesteps, for which its paper takes 5; 0 does without. (arXiv 2303.09556)"""
    absorbed_guidance: float = 1.0
    """Guidance that the model is to have by itself, asked once a step: it learns from the pictures with so many times
    less of what the prompt adds to its answer. 1: none, which is plain denoising. (arXiv 2501.15420)"""

    def __post_init__(self):
        super().__post_init__()
        if not self.outside >= 0:
            raise ValueError(f"outside is {self.outside}; give a weight of 0 or more.")
        if not self.min_snr >= 0:
            raise ValueError(f"min_snr is {self.min_snr}; give a gamma above 0, such as 5, or 0 to do without.")
        if not self.absorbed_guidance >= 1:
            raise ValueError(f"absorbed_guidance is {self.absorbed_guidance}; give a number from 1, which is none, up.")


def target(kind: str, x0: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """What the model is to answer when it sees x_t = alpha x0 + sigma e: e, v = alpha e - sigma x0, e - x0, or x0.

    kind: epsilon, v_prediction, flow_prediction or sample; x0, noise (B, 4, h, w); alpha, sigma (B, 1, 1, 1).
    """
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        return alpha * noise - sigma * x0
    if kind == "flow_prediction":
        return noise - x0
    if kind == "sample":
        return x0
    raise ValueError(f"The scheduler's prediction_type is {kind!r}; expected epsilon, v_prediction, sample or flow.")


def denoising_loss(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """|output - target|^2, the mean over channels and, as `weight` says, over pixels. (B, 4, h, w) twice -> (B,).

    weight (B, 1, h, w) >= 0; a row without any weighs nothing.
    """
    error = (output - target).square().mean(1, keepdim=True)  # (B, 1, h, w)
    return (error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(1e-6)


def min_snr(kind: str, alpha: Tensor, sigma: Tensor, gamma: float) -> Tensor:
    """The factor that makes a loss min(SNR, gamma) |x0 - x0'|^2, where SNR = (alpha / sigma)^2. (B,), (B,) -> (B,).

    Of what the model predicts, x0' depends by sigma / alpha (e), by sigma (v and flow) or by 1 (x0).
    """
    snr = (alpha / sigma).square()
    if kind == "epsilon":
        return (gamma / snr).clamp(max=1)
    return snr.clamp(max=gamma) * (1 if kind == "sample" else sigma.square())


def less_of_the_prompt(output: Tensor, plain: Tensor, scale: Tensor) -> Tensor:
    """u + (c - u) / w, of answers c with and u without prompt: right where c = u + w (c* - u), which is c* guided by w,
    if c* is what the pictures say. No guided answer is asked of any model. (B, 4, h, w) twice, (B,) -> (B, 4, h, w).

    Source: guidance-free training (arXiv 2501.15420), with the w of classifier-free guidance for its 1 / beta.
    """
    return plain + (output - plain) / scale.view(-1, 1, 1, 1)


def draw(item: Row, rng: Generator, *, cell: int) -> Row:
    """The item with what it is noised by: `noise` (4, h, w), normal, and `time` () in [0, 1), 1 being pure noise.

    They are the row's own, so that nothing depends on batches and processes. `cell`: pixels of a latent's side.
    """
    height, width = item["image"].shape[-2:]
    noise = torch.from_numpy(rng.standard_normal((4, height // cell, width // cell), dtype=np.float32))
    return item | {"noise": noise, "time": torch.tensor(rng.random(dtype=np.float32))}


class Denoising:
    """The objective of the supervised stage, for `loop.Objective`: `loss(unet, batch)`, and `measure` without gradient.

    scheduler: DDIM, or a flow matching one; its prediction_type is what is learnt, its noise what is learnt from.
    """

    def __init__(
        self, vae: nn.Module, encode_text: Callable[[list[str]], Tensor], scheduler, settings: InpaintSettings
    ):
        self.vae, self.encode_text, self.scheduler, self.settings = vae, encode_text, scheduler, settings
        self.kind = "flow_prediction" if is_flow(scheduler) else scheduler.config.prediction_type

    def loss(self, unet: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The mean over rows, and that inside the masks. `unet` must be the prepared module.

        batch: `image` (B, 3, H, W) in [-1, 1], `mask` (B, 1, H, W) in {0, 1}, `prompt` of B strings, `noise`
        (B, 4, h, w) and `time` (B,) as `draw` makes them.
        """
        x0, condition = self.begin(batch)
        t = self.timestep(batch["time"])
        alpha, sigma = signal_and_noise(self.scheduler, t)  # (B,)
        wide = {"alpha": alpha.view(-1, 1, 1, 1), "sigma": sigma.view(-1, 1, 1, 1)}
        noisy = wide["alpha"] * x0 + wide["sigma"] * batch["noise"]  # (B, 4, h, w)
        output = predict(unet, self.scheduler, noisy, t, condition).float()
        if self.settings.absorbed_guidance > 1:
            output = less_of_the_prompt(output, *self.unprompted(unet, noisy, t, condition, batch["prompt"]))
        wanted, inside = target(self.kind, x0, batch["noise"], **wide), condition.mask
        each = denoising_loss(output, wanted, inside + self.settings.outside * (1 - inside))  # (B,)
        if self.settings.min_snr:
            each = each * min_snr(self.kind, alpha, sigma, self.settings.min_snr)
        return {"loss": each.mean(), "inside": denoising_loss(output, wanted, inside).mean()}

    @torch.no_grad()
    def begin(self, batch: Batch) -> tuple[Tensor, Condition]:
        """Clean latents (B, 4, h, w), and the condition. Latents are the posterior's mode: nothing is drawn."""
        image, mask = batch["image"], batch["mask"]
        x0, masked = mode_latents(self.vae, torch.cat([image, image * (1 - mask)])).chunk(2)
        return x0, encode(self.vae, image, mask, self.encode_text(batch["prompt"]), masked_latents=masked)

    @torch.no_grad()
    def unprompted(
        self, unet: nn.Module, noisy: Tensor, t: Tensor, condition: Condition, prompt: list[str]
    ) -> tuple[Tensor, Tensor]:
        """The model's own answer to the empty prompt, (B, 4, h, w); and what each row is to absorb, (B,): those with a
        prompt the guidance, others nothing."""
        empty = self.encode_text([""]).expand_as(condition.text)
        plain = predict(unet, self.scheduler, noisy, t, replace(condition, text=empty)).float()
        scale = [self.settings.absorbed_guidance if words else 1.0 for words in prompt]
        return plain, torch.tensor(scale, device=plain.device)

    def timestep(self, time: Tensor) -> Tensor:
        """Times (B,) in [0, 1) as the scheduler counts them: whole steps, or for a flow 1000 times the time."""
        count = self.scheduler.config.num_train_timesteps
        return time * count if is_flow(self.scheduler) else (time * count).long().clamp(max=count - 1)

    @torch.no_grad()
    def measure(self, unet: nn.Module, batches: list[Batch]) -> Tensor:
        """The loss (), the mean over the rows of batches on the CPU."""
        device, rows = self.vae.device, sum(len(batch["image"]) for batch in batches)
        losses = []
        for batch in batches:
            there = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in batch.items()}
            losses.append(self.loss(unet, there)["loss"] * len(batch["image"]) / rows)
        return torch.stack(losses).sum()


def fit(accelerator: Accelerator, pipe: ByteEditInpaintPipeline, settings: InpaintSettings) -> dict[str, float]:
    """Tune the UNet of `pipe` on D_train; write output/unet, or output/lora; return its measures, on the main process.

    What is written and measured are the weights that `train` keeps; some of what they make of what is held out is shown
    in output/validation, where no parameters are sharded. pipe: as `base.open_base` gives it.
    """
    if settings.rank and sharded(accelerator):
        raise ValueError("A LoRA fits on every process; launch with DDP instead of FSDP or ZeRO-3, or set rank to 0.")
    if settings.rank and settings.absorbed_guidance <= 1:
        warn_of_schedule(settings.tuned)
    skipped, draws = Skipped(), partial(draw, cell=pipe.vae_scale_factor)
    with accelerator.main_process_first():
        edits = open_data(settings.data, settings, skipped)
        known = open_held_out(pipe, settings, skipped, draws)
    items = make_items(pipe, edits, settings, draws)
    to_device(pipe, accelerator)
    stage = Denoising(pipe.vae, partial(encode_text, pipe), training_scheduler(pipe.scheduler), settings)

    def validate(unet: nn.Module) -> dict[str, float]:
        """The held-out loss, the same on every process."""
        return _named(accelerator.reduce(stage.measure(unet, known), "mean"))

    kept = train(
        accelerator,
        [Objective(name="inpaint", model=pipe.unet, loss=stage.loss)],
        open_batches(edits, items.prepare, settings, skipped, accelerator),
        settings,
        validate=validate if known else None,
        measured=("loss", "minus_loss"),
        data=edits.extent(),
    )["inpaint"]
    skipped.report()
    measures = {}
    recommended = replace(pipe.schedule, guidance_scale=1.0) if settings.absorbed_guidance > 1 else None
    if recommended:
        pipe.follow(recommended)
    if accelerator.is_main_process:
        unet = write(pipe.unet, kept, settings, recommended).to(accelerator.device).eval()
        measures = _named(stage.measure(unet, known)) if known else {}
    if known and not sharded(accelerator):
        pipe.unet.load_state_dict(as_written(kept, settings), strict=False)
        pipe.unet.eval()
        some = known[: -(-SHOWN // settings.batch_size)]
        steps = pipe.schedule.num_inference_steps
        keep_sheet(HeldOut(accelerator, pipe, {}, some).measure(steps=steps, shown=SHOWN), settings.output)
    accelerator.wait_for_everyone()
    return measures


def _named(loss: Tensor) -> dict[str, float]:
    """The loss, and what can be watched, since there higher is better."""
    return {"loss": loss.item(), "minus_loss": -loss.item()}
