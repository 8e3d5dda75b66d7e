"""Train the picturebook's text encoder and 9-channel UNet from scratch: the baseline, supervised only.

v-prediction on zero-terminal-SNR noise, `t` stratified and leaning to the noisy end, where layout is decided; the
loss counts 1 inside the mask and 0.15 outside. Latents are computed once for a pool of items that is renewed as
training goes on; "windows" train on a quarter of the latents, cut around small masks, at a few times the speed.
"" is the prompt of a background that goes on, never a dropped caption, so it also serves guidance as its opposite.

    torchrun --nproc-per-node 2 examples/picturebook/train_base.py --vae .runs/autoencoder/vae
"""

import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import tyro
from accelerate import Accelerator
from diffusers import AutoencoderKL, UNet2DConditionModel
from items import WINDOW, Item, fits, item
from loop import Schedule, begin, train
from models import LENGTH, build_models, build_scheduler, build_tokenizer
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from byteedit import ByteEditInpaintPipeline
from byteedit.image import to_tensor
from byteedit.picturebook import PAGE

FACTOR = 4  # pixels of a latent's side


@dataclass(kw_only=True)
class Settings(Schedule):
    output: Path = Path(".runs/base")
    steps: int = 5500
    lr: float = 1e-3
    vae: Path = Path(".runs/autoencoder/vae")
    """The finished autoencoder."""
    start_from: Path | None = None
    """A pipeline folder, such as the shipped one, from whose tokenizer, text encoder and UNet training starts."""
    batch: int = 16
    """Whole pictures per process and step; a step on windows takes two and a half times as many."""
    windows: float = 0.6
    """Share of the schedule, from its start, that mixes in steps on windows."""
    pool: int = 3000
    """Items that a process holds."""
    renew: int = 4
    """Items that a step replaces."""
    outside: float = 0.15
    """Weight of the loss outside the mask."""


class Pool:
    """Items as latents, in memory; slot `i` is renewed in turn, so its content follows from the step alone."""

    def __init__(self, vae: AutoencoderKL, tokenizer: CLIPTokenizer, size: int, accelerator: Accelerator):
        self.vae, self.tokenizer, self.accelerator, self.filled = vae, tokenizer, accelerator, 0
        self.latents = torch.empty(size, 4, 32, 32, dtype=torch.float16)
        self.masked_latents = torch.empty_like(self.latents)
        self.masks = torch.empty(size, 1, 32, 32, dtype=torch.uint8)
        self.ids = torch.empty(size, LENGTH, dtype=torch.int32)
        self.windows = torch.empty(size, 3, dtype=torch.int64)  # `_window` of each item

    def fill_to(self, number: int) -> None:
        """Hold the newest items up to `number` in all, as if all before them had been made."""
        for first in range(max(self.filled, number - len(self.ids)), number, 50):
            numbers = range(first, min(first + 50, number))
            processes, own = self.accelerator.num_processes, self.accelerator.process_index
            self._write(numbers, [item(processes * n + own) for n in numbers])
        self.filled = number

    @torch.no_grad()
    def _write(self, numbers: range, items: list[Item]) -> None:
        slots = torch.tensor(list(numbers)) % len(self.ids)
        x = to_tensor(np.stack([i.picture for i in items])).to(self.accelerator.device)
        hole = torch.from_numpy(np.stack([i.mask for i in items]))[:, None].to(self.accelerator.device) > 0
        both = torch.cat([x, x * ~hole])
        with self.accelerator.autocast():
            z = self.vae.encode(both).latent_dist.mean.float() * self.vae.config.scaling_factor
        self.latents[slots], self.masked_latents[slots] = z.half().cpu().chunk(2)
        self.masks[slots] = hole[..., ::FACTOR, ::FACTOR].byte().cpu()  # nearest neighbour, as the pipeline reduces it
        tokens = self.tokenizer([i.prompt for i in items], padding="max_length", max_length=LENGTH, return_tensors="pt")
        self.ids[slots] = tokens.input_ids.int()
        self.windows[slots] = torch.tensor([_window(i) for i in items])

    def draw(self, batch: int, window: bool, rng: np.random.Generator) -> dict[str, Tensor]:
        """A batch of whole pictures, or of 16 x 16 windows around what fits in them."""
        slots = torch.from_numpy(rng.permutation(len(self.ids)))
        if not window:
            return self._gather(slots[:batch])
        slots = slots[self.windows[slots, 0] >= 0][:batch]
        corner, slack = self.windows[slots].split([2, 1], dim=1)
        shift = torch.from_numpy(rng.uniform(-1, 1, (len(slots), 2)))
        corners = (corner + (shift * slack).round().long()).clamp(0, (PAGE - WINDOW) // FACTOR)
        whole = self._gather(slots)
        cut = {k: _windows(whole[k], corners) for k in ("latents", "masked_latents", "mask")}
        return whole | cut

    def _gather(self, slots: Tensor) -> dict[str, Tensor]:
        batch = {
            "latents": self.latents[slots].float(),
            "masked_latents": self.masked_latents[slots].float(),
            "mask": self.masks[slots].float(),
            "input_ids": self.ids[slots].long(),
        }
        return {k: v.to(self.accelerator.device) for k, v in batch.items()}


def _window(item: Item) -> tuple[int, int, int]:
    """Top, left of the window around an item's focus and how far it may be moved, in latents; -1 if none fits."""
    if not fits(item.focus):
        return -1, -1, 0
    left, top, right, bottom = (edge / FACTOR for edge in item.focus)
    side, last = WINDOW // FACTOR, (PAGE - WINDOW) // FACTOR
    corner = (int(np.clip((low + high - side) / 2, 0, last)) for low, high in ((top, bottom), (left, right)))
    return *corner, max(1, int(side - max(right - left, bottom - top)) // 2)


def _windows(x: Tensor, corners: Tensor) -> Tensor:  # (B, C, 32, 32), (B, 2) -> (B, C, 16, 16)
    side = WINDOW // FACTOR
    return torch.stack([one[:, r : r + side, c : c + side] for one, (r, c) in zip(x, corners.tolist(), strict=True)])


class Denoiser(nn.Module):
    """The training graph: text encoder and UNet in one module, so that every process averages its gradients."""

    def __init__(self, text_encoder: CLIPTextModel, unet: UNet2DConditionModel, outside: float):
        super().__init__()
        self.text_encoder, self.unet, self.outside = text_encoder, unet, outside
        self.scheduler = build_scheduler()

    def forward(self, latents, masked_latents, mask, input_ids, generator) -> dict[str, Tensor]:
        device = latents.device
        u = (torch.arange(len(latents)) + torch.rand(len(latents), generator=generator)) / len(latents)
        t = (1000 * u**0.75).long().clamp(max=999).to(device)  # (B,)
        noise = torch.randn(latents.shape, generator=generator).to(device)
        noisy = self.scheduler.add_noise(latents, noise, t)
        text = self.text_encoder(input_ids).last_hidden_state  # (B, 24, 128)
        v = self.unet(torch.cat([noisy, mask, masked_latents], 1), t, text).sample.float()  # (B, 4, h, w)
        error = (v - self.scheduler.get_velocity(latents, noise, t)).square().mean(1, keepdim=True)
        weight = mask + self.outside * (1 - mask)
        each = (error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
        inside = (error * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp(min=1)
        noisiest = t > 600
        return {"loss": each.mean(), "inside": inside.mean(), "inside_noisy": inside[noisiest].mean()}


def main(settings: Settings) -> None:
    torch.set_num_threads(1)
    accelerator = begin()
    settings.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    start = settings.start_from
    tokenizer = CLIPTokenizer.from_pretrained(start, subfolder="tokenizer") if start else build_tokenizer()
    model = Denoiser(*build_models(tokenizer, start), settings.outside)
    vae = AutoencoderKL.from_pretrained(settings.vae).eval().requires_grad_(False).to(accelerator.device)
    rank, pool = accelerator.process_index, Pool(vae, tokenizer, settings.pool, accelerator)

    def loss(wrapped, step):
        pool.fill_to(settings.pool + step * settings.renew)
        window = step < settings.windows * settings.steps and step % 4 != 3
        batch = pool.draw(
            settings.batch * 5 // 2 if window else settings.batch, window, np.random.default_rng([step, rank])
        )
        return wrapped(**batch, generator=torch.Generator().manual_seed(64 * step + rank))

    save = partial(export, tokenizer=tokenizer, vae=vae, folder=settings.output / "pipeline")
    train(accelerator, model, loss, settings, warmup=300, ema_decay=0.999, each_checkpoint=save)


def export(model: Denoiser, step: int, *, tokenizer: CLIPTokenizer, vae: AutoencoderKL, folder: Path) -> None:
    """Write the pipeline in diffusers layout, fp16 safetensors."""
    pipe = ByteEditInpaintPipeline(
        vae=vae,
        text_encoder=model.text_encoder,
        tokenizer=tokenizer,
        unet=model.unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        num_inference_steps=20,
        guidance_scale=2.5,
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("vae", "text_encoder", "unet"):
        copy.deepcopy(getattr(pipe, name)).half().save_pretrained(folder / name)
    text = folder / "text_encoder" / "config.json"  # transformers would load it in fp16, diffusers the rest in fp32
    text.write_text(text.read_text().replace('"dtype": "float16"', '"dtype": "float32"'))
    pipe.save_config(folder)
    tokenizer.save_pretrained(folder / "tokenizer")
    pipe.scheduler.save_pretrained(folder / "scheduler")
    print(f"step {step}: wrote {folder}")


if __name__ == "__main__":
    main(tyro.cli(Settings))
