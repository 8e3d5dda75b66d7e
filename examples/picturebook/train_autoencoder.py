"""Train the picturebook's autoencoder: 128 x 128 pixels to 32 x 32 latents of four channels, and back.

Three channels are pulled towards the small picture itself, so latents are smooth and a diffusion model learns
them quickly; noise on the latents teaches the decoder to forgive. Some pictures have a grey hole, for
masked pictures are encoded too. No adversarial loss, no perceptual network.

    torchrun --nproc-per-node 2 examples/picturebook/train_autoencoder.py
    torchrun --nproc-per-node 2 examples/picturebook/train_autoencoder.py \
        --decoder-of .runs/autoencoder/vae --output .runs/decoder
"""

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from diffusers import AutoencoderKL
from items import SIZE
from models import precision
from numpy.random import Generator
from torch import Tensor

from byteedit import masks
from byteedit.image import to_tensor
from byteedit.picturebook import scene
from byteedit.training.batches import Batches
from byteedit.training.loop import Objective, train
from byteedit.training.run import begun
from byteedit.training.settings import Settings

PAGES = 400_000
HOLED = 0.3  # share of the pages that have a grey hole


@dataclass(kw_only=True)
class AutoencoderSettings(Settings):
    """The settings of the autoencoder's training, per process."""

    output: Path = Path(".runs/autoencoder")
    steps: int = 7000
    batch_size: int = 4
    lr: float = 2e-3
    warmup: int = 100
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    ema_decay: float = 0.998
    mixed_precision: Literal["no", "fp16", "bf16"] = field(default_factory=precision)
    checkpoint_every: int = 200
    pull: float = 0.05
    """Weight that pulls three latent channels towards the 4 x 4-pooled picture."""
    noise: float = 0.06
    """Largest standard deviation of the noise laid on latents of unit variance."""
    decoder_of: str = ""
    """A finished autoencoder whose decoder alone is trained on, so that latents keep their meaning."""


def build() -> AutoencoderKL:
    """An untrained autoencoder, f = 4, 0.65 M parameters; its log-variance is fixed at -10, near no noise."""
    vae = AutoencoderKL(
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=SIZE[0],
        scaling_factor=1.0,
        mid_block_add_attention=False,
    )
    with torch.no_grad():
        vae.quant_conv.weight[4:] = 0
        vae.quant_conv.bias[4:] = -10
    vae.quant_conv.weight.register_hook(lambda grad: torch.cat([grad[:4], torch.zeros_like(grad[4:])]))
    vae.quant_conv.bias.register_hook(lambda grad: torch.cat([grad[:4], torch.zeros_like(grad[4:])]))
    return vae


def picture(seed: int, rng: Generator) -> dict[str, Tensor]:
    """`image` (3, 128, 128) in [-1, 1], some with a grey hole."""
    image = to_tensor(scene(seed, "train").render()[None])[0]
    return {"image": image * torch.from_numpy(masks.draw(SIZE, rng) == 0) if rng.random() < HOLED else image}


def edges(x: Tensor) -> Tensor:
    """Differences between neighbours, across and down."""
    return torch.cat([(x[..., :, 1:] - x[..., :, :-1]).flatten(1), (x[..., 1:, :] - x[..., :-1, :]).flatten(1)], 1)


class Reconstruction(torch.nn.Module):
    """The training graph, in one module so that every process averages its gradients."""

    def __init__(self, vae: AutoencoderKL, settings: AutoencoderSettings):
        super().__init__()
        self.vae, self.settings = vae, settings

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        with torch.no_grad() if self.settings.decoder_of else nullcontext():
            z = self.vae.encode(x).latent_dist.mean.float()  # (B, 4, 32, 32)
        noise = torch.rand(len(x), 1, 1, 1, device=x.device) * self.settings.noise
        y = self.vae.decode(z + noise * torch.randn_like(z)).sample.float()
        if self.settings.decoder_of:
            terms = {"l1": (y - x).abs().mean(), "edges": (edges(y) - edges(x)).abs().mean()}
            return {"loss": sum(terms.values())} | terms
        half = self.vae.decode(F.avg_pool2d(z[::4], 2)).sample.float()  # EQ-VAE: smaller latents, the smaller picture
        terms = {
            "l1": (y - x).abs().mean(),
            "edges": (edges(y) - edges(x)).abs().mean(),
            "equivariance": (half - F.avg_pool2d(x[::4], 2)).abs().mean(),
            "pull": (z[:, :3] - 1.5 * F.avg_pool2d(x, 4)).square().mean(),
            "spread": (z[:, 3].square().mean() - 1).square() + z[:, 3].mean().square(),
        }
        weights = {"l1": 1, "edges": 1, "equivariance": 0.1, "pull": self.settings.pull, "spread": 0.05}
        return {"loss": sum(weights[name] * term for name, term in terms.items())} | terms


def main(settings: AutoencoderSettings) -> None:
    with begun(settings) as accelerator:
        vae = AutoencoderKL.from_pretrained(settings.decoder_of) if settings.decoder_of else build()
        if settings.decoder_of:
            vae.encoder.requires_grad_(False)
            vae.quant_conv.requires_grad_(False)
        model = Reconstruction(vae, settings)
        objective = Objective(name="autoencoder", model=model, loss=lambda model, batch: model(batch["image"]))
        batches = Batches(
            dataset=range(PAGES),
            prepare=picture,
            batch_size=settings.batch_size,
            seed=settings.seed,
            process=accelerator.process_index,
            processes=accelerator.num_processes,
            workers=settings.workers,
        )
        kept = train(accelerator, [objective], batches, settings)["autoencoder"]
        if accelerator.is_main_process:
            model.load_state_dict(kept, strict=False)
            finish(vae.float().cpu().eval(), settings.output)
    accelerator.end_training()


@torch.no_grad()
def finish(vae: AutoencoderKL, run: Path) -> None:
    """Measure on validation scenes, store the latents' scale, save."""
    x = to_tensor(np.stack([scene(seed, "validation").render() for seed in range(256)]))
    z = vae.encode(x).latent_dist.mean
    y = vae.decode(z).sample.clamp(-1, 1)
    if vae.config.scaling_factor == 1:  # a decoder trained on keeps the scale that its diffusion model knows
        vae.register_to_config(scaling_factor=round(float(1 / z.std()), 4))
    vae.save_pretrained(run / "vae")
    psnr = -10 * torch.log10(((y - x) / 2).square().mean((1, 2, 3))).mean()
    print(
        f"PSNR {psnr:.2f} dB on 256 validation scenes; latent std {z.std((0, 2, 3)).tolist()}; saved in {run / 'vae'}"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(tyro.cli(AutoencoderSettings, description=__doc__))
