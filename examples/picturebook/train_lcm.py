"""The LoRA `lcm`, the rival of `fast`: latent consistency distillation of the boosted checkpoint, as diffusers does it.

The student answers the same at a noisy step and one of 50 DDIM steps further on, where a frozen teacher with guidance
takes it; in the end one step is enough, and some more are better. It sees the data, trains the layers and takes the
updates of `fast`. Sampled with diffusers' `LCMScheduler`, without guidance. No EMA target, as in the recipe for LoRAs.
Source: LCM (arXiv 2310.04378), LCM-LoRA (arXiv 2311.05556), diffusers' train_lcm_distill_lora_sd_wds.py.

    torchrun --nproc-per-node 2 examples/picturebook/train_lcm.py examples/configs/picturebook/lcm.yaml
"""

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

import byteedit
from byteedit.data.skipped import Skipped
from byteedit.diffusion import Condition, predict, signal_and_noise
from byteedit.pipeline.opening import locate_model
from byteedit.training.base import (
    TuneSettings,
    encode_text,
    make_items,
    open_base,
    open_data,
    to_device,
    training_scheduler,
    write,
)
from byteedit.training.batches import Batch
from byteedit.training.loop import Objective, train
from byteedit.training.run import begun
from byteedit.training.settings import from_command_line
from byteedit.training.sft import Denoising, draw
from byteedit.training.streams import open_batches

SIGMA_DATA, TIMESTEP_SCALING = 0.5, 10.0  # LCMScheduler's


@dataclass(kw_only=True)
class LcmSettings(TuneSettings):
    """The settings of consistency distillation."""

    tuned: str
    """LoRA of the teacher, which the student goes on from: what feedback learning wrote."""
    guidance_scale: float = 2.5
    """Guidance of the teacher, which the student takes in. (LCM: 5 to 15; 2.5 is this checkpoint's own)"""
    ddim_steps: int = 50
    """Steps of the teacher's solver over the whole schedule; LCMScheduler's original_inference_steps. (LCM: 50)"""
    huber_c: float = 0.001
    """Where the pseudo-Huber loss turns from a square into an absolute value. (LCM-LoRA: 0.001)"""

    def __post_init__(self):
        super().__post_init__()
        if self.held_out or self.push:
            raise ValueError("this rival is neither measured nor uploaded here; leave held_out and push empty.")


def scalings(t: Tensor) -> tuple[Tensor, Tensor]:
    """How much of x_t and of x0' is in the answer at timesteps t (B,): c_skip, c_out, (B, 1, 1, 1) each.

    At 0 the answer is x_t itself, which is what makes a consistent answer x0.
    """
    scaled = (t * TIMESTEP_SCALING).view(-1, 1, 1, 1)
    whole = scaled**2 + SIGMA_DATA**2
    return SIGMA_DATA**2 / whole, scaled / whole**0.5


def huber(answer: Tensor, target: Tensor, c: float) -> Tensor:
    """The pseudo-Huber loss, the mean of sqrt(d^2 + c^2) - c. (B, 4, h, w) twice -> ()."""
    return (((answer - target) ** 2 + c**2) ** 0.5 - c).mean()


class Consistency(Denoising):
    """The objective, for `loop.Objective`: `loss(unet, batch)` on batches as for the supervised stage.

    teacher: a UNet that nothing trains. The scheduler's prediction_type is v_prediction, for which the noisiest step
    may be noise alone.
    """

    def __init__(self, teacher: nn.Module, *args):
        super().__init__(*args)
        self.teacher = teacher
        self.skip = self.scheduler.config.num_train_timesteps // self.settings.ddim_steps

    def loss(self, unet: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The distance of the student's answers at a step and at the next. `unet` must be the prepared module."""
        x0, condition = self.begin(batch)
        t = (batch["time"] * self.settings.ddim_steps).long() * self.skip + self.skip - 1  # (B,), 19 ... 999
        before = (t - self.skip).clamp_min(0)
        alpha, sigma = self.shares(t)
        noisy = alpha * x0 + sigma * batch["noise"]  # (B, 4, h, w)
        answer = self.answer(unet, noisy, t, condition)
        with torch.no_grad():
            nearer = self.follow(noisy, t, before, condition)
            target = self.answer(unet, nearer, before, condition)
        return {"loss": huber(answer, target, self.settings.huber_c), "apart": (answer - target).abs().mean()}

    def answer(self, unet: nn.Module, noisy: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The student's x0, which at step 0 is what it sees."""
        skip, out = scalings(t)
        return skip * noisy + out * self.x0_and_noise(predict(unet, self.scheduler, noisy, t, condition), noisy, t)[0]

    def follow(self, noisy: Tensor, t: Tensor, before: Tensor, condition: Condition) -> Tensor:
        """Where one DDIM step of the guided teacher leads."""
        empty = self.encode_text([""]).expand_as(condition.text)
        guided = replace(condition, negative=empty, guidance_scale=self.settings.guidance_scale)
        x0, noise = self.x0_and_noise(predict(self.teacher, self.scheduler, noisy, t, guided), noisy, t)
        alpha, sigma = self.shares(before)
        return alpha * x0 + sigma * noise

    def x0_and_noise(self, output: Tensor, noisy: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """What v says of the clean latents and of the noise."""
        alpha, sigma = self.shares(t)
        return alpha * noisy - sigma * output.float(), alpha * output.float() + sigma * noisy

    def shares(self, t: Tensor) -> tuple[Tensor, Tensor]:  # (B, 1, 1, 1) each
        return tuple(share.view(-1, 1, 1, 1) for share in signal_and_noise(self.scheduler, t))


def open_teacher(settings: LcmSettings) -> nn.Module:
    """The UNet of the base with the LoRA in its weights."""
    name = locate_model(settings.base)
    pipe = byteedit.ByteEditInpaintPipeline.from_pretrained(name)
    pipe.load_lora_weights(settings.tuned)
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    return pipe.unet.requires_grad_(False).eval()


def main(settings: LcmSettings) -> None:
    with begun(settings) as accelerator:
        skipped = Skipped()
        pipe, teacher = open_base(settings), open_teacher(settings).to(accelerator.device)
        with accelerator.main_process_first():
            edits = open_data(settings.data, settings, skipped)
        items = make_items(pipe, edits, settings, partial(draw, cell=pipe.vae_scale_factor))
        to_device(pipe, accelerator)
        scheduler = training_scheduler(pipe.scheduler)
        stage = Consistency(teacher, pipe.vae, partial(encode_text, pipe), scheduler, settings)
        batches = open_batches(edits, items.prepare, settings, skipped, accelerator)
        objective = Objective(name="lcm", model=pipe.unet, loss=stage.loss)
        kept = train(accelerator, [objective], batches, settings, data=edits.extent())["lcm"]
        skipped.report()
        if accelerator.is_main_process:
            write(pipe.unet, kept, settings)
            print(f"{settings.written}: {settings.steps} updates")
    accelerator.end_training()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(from_command_line(LcmSettings, __doc__))
