"""Feedback learning against an online discriminator, which makes few steps enough: R_g learns while it is learnt from.

The generator's loss is `pefl`'s with one more reward; the discriminator's is Eq. 6 on what that rollout predicted, so a
step costs one rollout. Each has an optimiser of its own, and neither leaves a gradient in the other. The phases with
fewer and fewer steps, and all else that is opened and written, are in `phases`.
Sources: ByteEdit (arXiv 2404.04860), Eqs. 6 to 8; R1 as Mescheder et al. (arXiv 1801.04406).
"""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from byteedit.diffusion import decode, mode_latents
from byteedit.training.batches import Batch
from byteedit.training.loop import Objective
from byteedit.training.losses import coherence_loss
from byteedit.training.pefl import Feedback, FeedbackSettings, Prediction

__all__ = ["Adversarial", "AdversarialSettings", "fooling_loss", "slope_penalty"]


@dataclass(kw_only=True)
class AdversarialSettings(FeedbackSettings):
    """The settings of feedback learning against a discriminator. The defaults are the paper's where it speaks."""

    adversarial_weight: float = 0.05
    """Weight of L_g, the discriminator's share of Eq. 7, beside `weight` for all else. (Paper)"""
    d_real: Literal["image", "reconstruction"] = "image"
    """What the discriminator is told is real: pictures as they are (paper), or as the autoencoder gives them back, so
    that it cannot win by the traces of decoding alone."""
    d_labels: Literal["all", "masked"] = "all"
    """Which pixels of a prediction are fake: all of them (paper), or those inside the mask."""
    lr_d: float = 1e-5
    """Peak learning rate of the discriminator."""
    d_start: int = 0
    """Steps before the generator hears of the discriminator, which learns from the first one on."""
    r1_gamma: float = 0.0
    """Gamma of R1, which keeps the discriminator's slope at real pictures small; 0 does without."""

    def __post_init__(self):
        super().__post_init__()
        for name in ("adversarial_weight", "lr_d", "d_start", "r1_gamma"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give 0 or more.")


def fooling_loss(logits: Tensor, fake: Tensor) -> Tensor:
    """Eq. 7 of R_g, pixel by pixel: -log s(R_g(z')), the mean where `fake` is 1. (B, 1, H, W) twice -> ()."""
    return (F.softplus(-logits) * fake).sum() / fake.sum().clamp_min(1)


def slope_penalty(logits: Tensor, real: Tensor, gamma: float) -> Tensor:
    """R1: gamma / 2 |dR / dx|^2, the mean over pictures x, where R is a picture's mean logit.

    logits (B, 1, H, W) of real (B, 3, H, W), which requires a gradient -> (), differentiable once more.
    """
    [slope] = torch.autograd.grad(logits.mean((1, 2, 3)).sum(), real, create_graph=True)  # (B, 3, H, W)
    return gamma / 2 * slope.square().sum((1, 2, 3)).mean()


class Adversarial(Feedback):
    """Both objectives, for `loop.train`: `loss(unet, batch)` first, then `discern(discriminator, batch)`.

    Arguments are those of `Feedback`, and the bare discriminator: logits (B, 1, H, W) of images (B, 3, H, W) in [-1,
    1], positive = real, such as a `CoherenceReward`.
    """

    def __init__(self, *args, discriminator: nn.Module, **kwargs):
        super().__init__(*args, **kwargs)
        self.discriminator = discriminator
        self.made: list[dict[str, Tensor]] = []  # what the generator made of the batch, without its graph
        self.share = 0.0  # the weight of L_g at this step

    def objectives(self, unet: nn.Module) -> list[Objective]:
        """Generator and discriminator, in the order in which they must take turns. `unet` is what is trained."""
        return [
            Objective(name="generator", model=unet, loss=self.loss),
            Objective(
                name="discriminator",
                model=self.discriminator,
                loss=self.discern,
                lr=self.settings.lr_d,
                averaged=False,
            ),
        ]

    def loss(self, unet: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Eq. 8, the generator's: Eq. 4 + adversarial_weight * L_g, and each term on its own."""
        self.made = []
        self.share = self.settings.adversarial_weight * (batch["step"] >= self.settings.d_start)
        return super().loss(unet, batch)

    def weigh(self, made: Prediction) -> dict[str, Tensor]:
        """Eq. 8: the discriminator takes part with parameters that no gradient can reach."""
        found, fake = super().weigh(made), self.fake(made.mask)
        self.made.append({"image": made.image, "mask": made.mask, "seen": made.seen.detach()})
        fixed = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        logits = functional_call(self.discriminator, fixed, (made.seen,))  # (n, 1, H, W)
        found |= {"score/discriminator": logits.mean(), "reward/discriminator": fooling_loss(logits, fake)}
        return found | {"loss": found["loss"] + self.share * found["reward/discriminator"]}

    def discern(self, discriminator: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Eq. 6, the discriminator's, on what the generator has just made of this batch; and how much it tells rightly.

        The gradient reaches `discriminator`, which must be the prepared module, called once for real and fake.
        """
        image, mask, made = (torch.cat([part[name] for part in self.made]) for name in ("image", "mask", "seen"))
        real, fake, gamma = self.real(image, mask), self.fake(mask), self.settings.r1_gamma
        label = torch.cat([torch.ones_like(fake), 1 - fake])  # (2B, 1, H, W), 1 = real
        with sdpa_kernel(SDPBackend.MATH) if gamma else nullcontext():  # the only attention with a second derivative
            logits = discriminator(torch.cat([real.requires_grad_(bool(gamma)), made]))
            loss = coherence_loss(logits, label)
            found = {"accuracy": ((logits > 0) == (label > 0.5)).float().mean()}
            if gamma:
                found |= {"coherence": loss, "r1": slope_penalty(logits[: len(real)], real, gamma)}
        return {"loss": loss + found.get("r1", 0)} | found

    def fake(self, mask: Tensor) -> Tensor:
        """Which pixels of a prediction are called fake: (B, 1, H, W) in {0, 1}."""
        return torch.ones_like(mask) if self.settings.d_labels == "all" else mask

    @torch.no_grad()
    def real(self, image: Tensor, mask: Tensor) -> Tensor:
        """What is called real of pictures (B, 3, H, W), masks (B, 1, H, W): themselves, or what the autoencoder makes
        of them, pasted as predictions are."""
        if self.settings.d_real == "image":
            return image
        decoded = decode(self.vae, mode_latents(self.vae, image)).float()
        return decoded if self.settings.sees == "decoded" else mask * decoded + (1 - mask) * image
