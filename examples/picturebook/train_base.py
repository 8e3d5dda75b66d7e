"""Train the picturebook's text encoder and 9-channel UNet from scratch: the baseline, supervised only.

v-prediction on zero-terminal-SNR noise, `t` stratified and leaning to the noisy end, where layout is decided; the
loss counts 1 inside the mask and 0.15 outside. Latents are computed once for a pool of items that is renewed as
training goes on; "windows" train on a quarter of the latents, cut around small masks, at a few times the speed.
"" is the prompt of a background that goes on, never a dropped caption, so it also serves guidance as its opposite.

    torchrun --nproc-per-node 2 examples/picturebook/train_base.py --vae .runs/autoencoder/vae
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from accelerate import Accelerator
from diffusers import AutoencoderKL, UNet2DConditionModel
from items import WINDOW, Item, fits, item
from models import LENGTH, build_models, build_scheduler, build_tokenizer, precision
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from byteedit import ByteEditInpaintPipeline
from byteedit.image import to_tensor
from byteedit.picturebook import PAGE
from byteedit.training.loop import Objective, train
from byteedit.training.run import begun
from byteedit.training.settings import Settings

FACTOR = 4  # pixels of a latent's side


@dataclass(kw_only=True)
class BaseSettings(Settings):
    """The settings of the baseline's training, per process."""

    output: Path = Path(".runs/base")
    steps: int = 5500
    batch_size: int = 16
    """Whole pictures that a process takes at once; of windows it takes two and a half times as many."""
    lr: float = 1e-3
    warmup: int = 300
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    ema_decay: float = 0.999
    mixed_precision: Literal["no", "fp16", "bf16"] = field(default_factory=precision)
    checkpoint_every: int = 200
    validate_every: int = 200
    """Steps after which output/pipeline is written anew, so that a half-trained one can be looked at."""
    vae: str = ".runs/autoencoder/vae"
    """The finished autoencoder."""
    start_from: str = ""
    """A pipeline folder, such as the shipped one, from whose tokenizer, text encoder and UNet training starts."""
    windows: float = 0.6
    """Share of the schedule, from its start, that mixes in steps on windows."""
    pool: int = 3000
    """Items that a process holds."""
    renew: int = 4
    """Items that a step replaces."""
    outside: float = 0.15
    """Weight of the loss outside the mask."""


class Pool:
    """Items as latents, in memory, from which the loop's batches are drawn.

    Slot `i` is renewed in turn, so its content follows from the step alone.
    """

    def __init__(self, vae: AutoencoderKL, tokenizer: CLIPTokenizer, settings: BaseSettings, accelerator: Accelerator):
        self.vae, self.tokenizer, self.settings, self.accelerator = vae, tokenizer, settings, accelerator
        self.filled, size = 0, settings.pool
        self.latents = torch.empty(size, 4, 32, 32, dtype=torch.float16)
        self.masked_latents = torch.empty_like(self.latents)
        self.masks = torch.empty(size, 1, 32, 32, dtype=torch.uint8)
        self.ids = torch.empty(size, LENGTH, dtype=torch.int32)
        self.windows = torch.empty(size, 3, dtype=torch.int64)  # `_window` of each item

    def stream(self, first: int, last: int) -> Iterator[dict[str, Tensor]]:
        """This process's batches number `first` up to, not including, `last`, which is the end of the schedule."""
        whole, own = self.settings.batch_size, self.accelerator.process_index
        for number in range(first, last):
            self.fill_to(self.settings.pool + number * self.settings.renew)
            window = number < self.settings.windows * last and number % 4 != 3
            rng = np.random.default_rng([self.settings.seed, number, own])
            yield self.draw(whole * 5 // 2 if window else whole, window, rng)

    def fill_to(self, number: int) -> None:
        """Hold the newest items up to `number` in all, as if all before them had been made.

        As many are encoded at once as a step renews: the last digits depend on what is encoded together.
        """
        together = max(1, self.settings.renew)
        for first in range(max(self.filled, number - len(self.ids)), number, together):
            numbers = range(first, min(first + together, number))
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
        return {
            "latents": self.latents[slots].float(),
            "masked_latents": self.masked_latents[slots].float(),
            "mask": self.masks[slots].float(),
            "input_ids": self.ids[slots].long(),
        }


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

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The loss of a batch as `Pool.draw` makes it, its part inside the mask, and that of its noisiest rows."""
        latents, mask = batch["latents"], batch["mask"]
        u = (torch.arange(len(latents)) + torch.rand(len(latents))) / len(latents)
        t = (1000 * u**0.75).long().clamp(max=999).to(latents.device)  # (B,)
        noise = torch.randn_like(latents)
        noisy = self.scheduler.add_noise(latents, noise, t)
        text = self.text_encoder(batch["input_ids"]).last_hidden_state  # (B, 24, 128)
        v = self.unet(torch.cat([noisy, mask, batch["masked_latents"]], 1), t, text).sample.float()  # (B, 4, h, w)
        error = (v - self.scheduler.get_velocity(latents, noise, t)).square().mean(1, keepdim=True)
        weight = mask + self.outside * (1 - mask)
        each = (error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
        inside = (error * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp(min=1)
        noisiest = t > 600  # (B,)
        inside_noisy = (inside * noisiest).sum() / noisiest.sum().clamp(min=1)
        return {"loss": each.mean(), "inside": inside.mean(), "inside_noisy": inside_noisy}


def main(settings: BaseSettings) -> None:
    with begun(settings) as accelerator:
        start = settings.start_from
        tokenizer = CLIPTokenizer.from_pretrained(start, subfolder="tokenizer") if start else build_tokenizer()
        model = Denoiser(*build_models(tokenizer, start), settings.outside)
        vae = AutoencoderKL.from_pretrained(settings.vae).eval().requires_grad_(False).to(accelerator.device)

        def validate(_) -> dict[str, float]:
            """Nothing is measured; the pipeline is there to be looked at."""
            if accelerator.is_main_process:
                export(model, tokenizer, vae, settings.output / "pipeline")
            return {}

        objective = Objective(name="base", model=model, loss=lambda model, batch: model(batch))
        train(accelerator, [objective], Pool(vae, tokenizer, settings, accelerator), settings, validate=validate)
        accelerator.print(settings.output / "pipeline")
    accelerator.end_training()


def export(model: Denoiser, tokenizer: CLIPTokenizer, vae: AutoencoderKL, folder: Path) -> None:
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


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(tyro.cli(BaseSettings, description=__doc__))
