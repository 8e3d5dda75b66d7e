"""Perceptual feedback learning: an inpainting model learns from what rewards say of its one-step predictions.

The three stages of one rollout: the masked input is noised straight to step T1; from there it is denoised without
gradient to a step t' of each row's own; one step with gradient predicts x0', which is decoded and scored. Steps count
down from T to 1. The loop that denoises is `diffusion.rollout`, the one that trains `loop`; rewards are any callables.
Source: ByteEdit (arXiv 2404.04860), Eqs. 2 to 4; hinge and linear rewards as UniFL (2404.05595) and DRaFT (2309.17400).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from accelerate import PartialState
from accelerate.utils import broadcast
from torch import Tensor, nn

from byteedit.diffusion import Condition, decode, encode, guided_steps, mode_latents, predict, rollout, start, x0_of
from byteedit.rewards import Reward
from byteedit.training.approach import approach
from byteedit.training.batches import Batch, Row
from byteedit.training.loop import Objective
from byteedit.training.losses import differentiate_in_parts, feature_loss, pixel_loss, reward_loss
from byteedit.training.settings import Settings

__all__ = ["Feedback", "FeedbackSettings", "Prediction", "draw_points"]

Features = Callable[[Tensor], list[Tensor]]
"""image (B, 3, H, W) in [-1, 1] -> the outputs of some layers, each (B, ...)."""


@dataclass(kw_only=True)
class FeedbackSettings(Settings):
    """The settings of feedback learning. The defaults are the paper's, or where it is silent, the project's."""

    T: int = 20
    """Steps of a whole rollout. (Paper: 20, then 8 where it is made fast)"""
    T1: int = 15
    """Step that the masked input is noised to; the noisier ones are skipped. (Paper)"""
    T2: int = 10
    """Noisiest step that gets a gradient: t' is drawn from 1..T2. (Paper)"""
    init: Literal["masked", "image", "noise"] = "masked"
    """What is noised to T1: the masked input (paper), the whole image, or nothing: pure noise from step T, as ReFL."""
    noise_share: float = 0.0
    """Share of steps, in [0, 1], whose rollouts begin with pure noise from step T instead, as inference does. What a
    prompt asks for then follows the rewards alone, for the noise stands for another picture of it than L_reg and L_vgg
    compare with; they keep to what the surroundings tell: rows without prompt, and unmasked pixels. (Ours)"""
    rollout_guidance: float = 1.0
    """Guidance of the rollout and of its step with gradient, away from the empty prompt: they then see what inference
    with guidance does, at twice the time. 1: none. (Ours; the paper speaks of none)"""
    rollout_guidance_end: float = 1.0
    """Share of the T steps, in (0, 1], after which whole rollouts have no guidance: as `guidance_end` of a call that
    runs them all. A rollout that begins at step T1 has the first of the T behind it."""
    points: int = 1
    """Steps with gradient that each rollout passes."""
    sampling: Literal["stratified", "uniform"] = "stratified"
    """How t' is drawn: spread evenly over a batch and the same on every process, or each row for itself."""
    point_weights: tuple[float, ...] = ()
    """How often t' is each of the steps 1..T2, in proportion; without, all alike. (Ours; the paper draws t' and says no
    more)"""
    grad_steps: int = 0
    """Steps with gradient at the end of a whole rollout; what it ends with is scored, in place of what the one step at
    t' predicts. So each of few steps learns what comes of it, for more time and memory. T: all. 0: the paper's way.
    (DRaFT-K, arXiv 2309.17400)"""
    noise_scale: float = 1.0
    """How much of its noise each step hands on in whole rollouts, where what is tuned is watched, and as its LoRA
    recommends; a little less than 1 makes up for what few steps err by. (arXiv 2308.15321)"""
    reward_shape: Literal["logistic", "hinge", "linear"] = "logistic"
    """The loss of a reward R: -log s(R) (Eq. 2), max(0, margin - R), or -R."""
    margin: float = 2.0
    """Where the hinge ends."""
    prompted: tuple[str, ...] = ("alignment",)
    """Rewards that say nothing of a picture without prompt; such rows do not count in their loss."""
    weight: float = 0.01
    """Weight of the perceptual feedback loss, Eq. 4. (Paper; under Adam only its size beside other losses matters)"""
    eta: float = 1.0
    """Weight of L_reg + L_vgg beside the rewards, Eq. 4. (Not given in the paper)"""
    region: Literal["image", "unmasked", "masked", "weighted"] = "image"
    """Pixels that L_reg compares: all, those on one side of the mask, or all with `outside` as weight. (Paper: all)"""
    outside: float = 0.15
    """Weight of a pixel outside the mask where `region` is weighted; inside it is 1. (Ours)"""
    sees: Literal["decoded", "composite"] = "decoded"
    """What the rewards see: the decode as it is, or pasted into the input."""
    clamp: Literal["none", "straight-through"] = "none"
    """What becomes of values beyond [-1, 1] in what is decoded: they stay, or are cut off while the gradient passes as
    if they were not, since a clamp has none there."""
    part: int = 1
    """Predictions that are decoded and scored at once: fewer take less memory; 0 takes all. A mean over some pixels or
    rows only (`region`, masked labels, a share from noise) is taken part by part, and then weighs rows otherwise."""
    decode_checkpointing: bool = False
    """Compute the decoder's activations twice instead of keeping them: more time, less memory."""

    def __post_init__(self):
        super().__post_init__()
        self.prompted, self.point_weights = tuple(self.prompted), tuple(self.point_weights)
        if not 1 <= self.T2 <= self.T1 <= self.T:
            raise ValueError(f"steps are {self.T}/{self.T1}/{self.T2}; they must be T >= T1 >= T2 >= 1.")
        if not 1 <= self.points <= self.T2:
            raise ValueError(f"points is {self.points}; a rollout passes 1 to T2 = {self.T2} steps with gradient.")
        if not 0 <= self.grad_steps <= self.T:
            raise ValueError(f"grad_steps is {self.grad_steps}; give a number of steps from 0 to T = {self.T}.")
        if self.grad_steps and (self.points > 1 or self.point_weights):
            raise ValueError(
                f"grad_steps is {self.grad_steps}, so whole rollouts are judged and no step t' is drawn; leave points "
                "and point_weights as they are, or set grad_steps to 0."
            )
        if not 0 <= self.noise_share <= 1:
            raise ValueError(f"noise_share is {self.noise_share}; it is a share of the steps, from 0 to 1.")
        if not self.rollout_guidance >= 1:
            raise ValueError(f"rollout_guidance is {self.rollout_guidance}; give a number from 1, which is none, up.")
        if not 0 < self.rollout_guidance_end <= 1:
            raise ValueError(f"rollout_guidance_end is {self.rollout_guidance_end}; give a share above 0, at most 1.")
        if self.rollout_guidance_end < 1 and not (self.grad_steps and self.rollout_guidance > 1):
            raise ValueError(
                f"rollout_guidance_end is {self.rollout_guidance_end}, of whole rollouts with guidance; set grad_steps "
                "and rollout_guidance."
            )
        if not self.weight > 0 or not self.eta >= 0 or self.part < 0:
            raise ValueError(
                f"weight is {self.weight}, eta {self.eta}, part {self.part}; give a weight above 0 and of the others 0 "
                "or more."
            )
        if not self.outside >= 0:
            raise ValueError(f"outside is {self.outside}; give a weight of 0 or more.")
        shares = self.point_weights or (1.0,) * self.T2
        if len(shares) != self.T2 or min(shares) < 0 or not sum(shares) > 0:
            raise ValueError(f"point_weights is {shares}; give one weight of 0 or more for each step 1..{self.T2}.")
        if max(shares) * self.points > sum(shares):
            raise ValueError(
                f"point_weights is {shares}, and a rollout has {self.points} points, no step twice: no weight may be "
                f"above a share of 1/{self.points}."
            )


def agreed() -> float:
    """A number drawn in [0, 1), the first process's on all of them; drawn on the CPU, sent where they are joined."""
    return broadcast(torch.rand(1).to(PartialState().device)).item()


def draw_points(batch: int, settings: FeedbackSettings) -> Tensor:  # (B, points) int64, on the CPU
    """Steps t' for each row, no step twice in a row.

    Stratified: 1..T2, each step as long as its weight, is cut into as many equal parts as there are points in the
    batch, and each part gives one; a row's own steps lie 1 / points of the whole apart. Then every process draws the
    same steps, and none waits for another's long rollout.
    """
    count = settings.points
    weights = torch.tensor(settings.point_weights or (1.0,) * settings.T2, dtype=torch.float64)
    if settings.sampling == "uniform":
        return torch.multinomial(weights.expand(batch, -1), count) + 1
    first = (agreed() + torch.randperm(batch)) / batch / count  # in [0, 1 / points)
    ends = weights.cumsum(0) / weights.sum()
    places = first[:, None].double() + torch.arange(count) / count
    return torch.bucketize(places, ends[:-1], right=True) + 1


@dataclass(frozen=True)
class Prediction:
    """What is decoded of some rows' predictions, and what it is weighed by."""

    edited: Tensor  # (n, 3, H, W), about [-1, 1]
    seen: Tensor  # (n, 3, H, W): what the rewards see of it
    image: Tensor  # (n, 3, H, W) in [-1, 1]
    mask: Tensor  # (n, 1, H, W) in {0, 1}
    prompt: list[str]
    features: list[Tensor] | None = None  # of `image`
    free: bool = False  # whether the rollout began with noise, though `init` does not


class Feedback:
    """Feedback learning, for `loop.train`: `draw_noise` for each row, then `loss(unet, batch)`.

    rewards: each with its weight, by name; called with images as they are decoded, about [-1, 1], and prompts.
    features: of L_vgg; None leaves it out. unet: the bare module, which the rollout without gradient calls; None where
    no process holds whole parameters, and only the prepared one can be called.
    scheduler: DDIM, or a flow matching one, of which x_t = alpha x_0 + sigma e.
    """

    def __init__(
        self,
        unet: nn.Module | None,
        vae: nn.Module,
        encode_text: Callable[[list[str]], Tensor],
        scheduler,
        rewards: Mapping[str, tuple[Reward, float]],
        settings: FeedbackSettings,
        features: Features | None = None,
    ):
        self.unet, self.vae, self.encode_text, self.scheduler = unet, vae, encode_text, scheduler
        self.rewards, self.settings, self.features = dict(rewards), settings, features
        if settings.decode_checkpointing:
            vae.enable_gradient_checkpointing()
        self.cell = 2 ** (len(vae.config.block_out_channels) - 1)  # pixels of a latent's side

    def objectives(self, unet: nn.Module) -> list[Objective]:
        """What the loop follows: this one, by the name of the stage. `unet` is what is trained."""
        return [Objective(name="pefl", model=unet, loss=self.loss)]

    def draw_noise(self, row: Row, rng) -> Row:
        """The row with its own `noise` (4, h, w), so that what is drawn does not depend on batches and processes."""
        height, width = row["image"].shape[-2:]
        shape = (self.vae.config.latent_channels, height // self.cell, width // self.cell)
        return row | {"noise": torch.from_numpy(rng.standard_normal(shape, dtype="float32"))}

    def loss(self, unet: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Eq. 4: weight * [the rewards' losses, Eq. 2 + eta (L_reg + L_vgg), Eq. 3], and each term on its own.

        batch: `image` (B, 3, H, W) in [-1, 1], `mask` (B, 1, H, W) in {0, 1}, `prompt` of B strings, `noise`
        (B, 4, h, w). The gradient reaches `unet`, which must be the prepared module, once.
        """
        share = self.settings.noise_share
        free = bool(share) and agreed() < share  # the same on every process
        x0, rows = (self.whole if self.settings.grad_steps else self.one_step)(unet, *self.begin(batch, free))
        image, mask = batch["image"][rows], batch["mask"][rows]
        prompt = [batch["prompt"][row] for row in rows.tolist()]
        known = self.features and [layer.detach()[rows] for layer in self.features(batch["image"])]

        def terms(x0: Tensor, part: slice) -> dict[str, Tensor]:
            edited, seen = self.show(x0, image[part], mask[part])
            features = known and [layer[part] for layer in known]
            return self.weigh(Prediction(edited, seen, image[part], mask[part], prompt[part], features, free))

        return differentiate_in_parts(x0, terms, self.settings.part)

    @torch.no_grad()
    def begin(self, batch: Batch, free: bool = False) -> tuple[Condition, Tensor, Tensor]:
        """Stage 1: the condition, the first latents, and the timesteps from theirs on; `free`: from noise anyway."""
        image, mask, settings = batch["image"], batch["mask"], self.settings
        masked = mode_latents(self.vae, image * (1 - mask))
        text, guided = self.encode_text(batch["prompt"]), {}
        if settings.rollout_guidance > 1:
            negative = self.encode_text([""]).expand_as(text)
            guided = {"negative": negative, "guidance_scale": settings.rollout_guidance}
        condition = encode(self.vae, image, mask, text, masked_latents=masked, **guided)
        self.scheduler.set_timesteps(settings.T, device=image.device)
        if free or settings.init == "noise":
            return condition, start(self.scheduler, batch["noise"]), self.scheduler.timesteps
        timesteps = self.scheduler.timesteps[settings.T - settings.T1 :]
        known = masked if settings.init == "masked" else mode_latents(self.vae, image)
        return condition, start(self.scheduler, batch["noise"], timesteps[:1], known), timesteps

    def one_step(
        self, unet: nn.Module, condition: Condition, latents: Tensor, timesteps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Stages 2 and 3: what one step at each t' predicts, (N, 4, h, w), and of which rows, (N,)."""
        points = draw_points(len(latents), self.settings)
        inner = unet if self.unet is None else self.unet
        noisy, steps, rows = approach(inner, self.scheduler, condition, latents, timesteps, points)
        t = timesteps[len(timesteps) - steps]  # (N,)
        output = predict(unet, self.scheduler, noisy, t, condition.rows(rows))
        return x0_of(self.scheduler, output, t, noisy).float(), rows

    def whole(self, unet: nn.Module, condition: Condition, latents: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """In their place, what whole rollouts end with, (B, 4, h, w), and of which rows, (B,)."""
        settings = self.settings
        how = {"grad_steps": settings.grad_steps, "noise_scale": settings.noise_scale}
        guided = guided_steps(settings.rollout_guidance_end, settings.T)  # of all T steps, the first of which
        guided -= settings.T - len(timesteps)  # are left out where it does not begin with noise
        alone = condition.unguided()

        def on_step(i: int, t: Tensor, latents: Tensor, _: Condition) -> tuple[Tensor, Condition]:
            return latents, condition if i + 1 < guided else alone

        first = condition if guided > 0 else alone
        x0 = rollout(unet, self.scheduler, first, latents, timesteps, on_step=on_step, **how)
        return x0.float(), torch.arange(len(x0), device=x0.device)

    def show(self, x0: Tensor, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions (n, 4, h, w) decoded, and what the rewards see of them; both (n, 3, H, W), about [-1, 1]."""
        edited = decode(self.vae, x0.to(self.vae.dtype)).float()  # (n, 3, H, W), about [-1, 1]
        if self.settings.clamp == "straight-through":
            edited = edited + (edited.clamp(-1, 1) - edited).detach()
        return edited, edited if self.settings.sees == "decoded" else mask * edited + (1 - mask) * image

    def weigh(self, made: Prediction) -> dict[str, Tensor]:
        """Eq. 4: the `loss`, and each of its terms."""
        settings, mask = self.settings, made.mask
        scores = {name: reward(made.seen, made.prompt) for name, (reward, _) in self.rewards.items()}
        outside = {"image": 1.0, "unmasked": 1.0, "masked": 0.0, "weighted": settings.outside}[settings.region]
        weight = mask * (settings.region != "unmasked") + outside * (1 - mask)
        found = {f"score/{name}": score.mean() for name, score in scores.items()}
        asked = torch.tensor([float(bool(words)) for words in made.prompt], device=mask.device)  # (n,)
        for name, score in scores.items():
            counts = asked if name in settings.prompted else None
            found[f"reward/{name}"] = reward_loss(score, settings.reward_shape, settings.margin, counts)
        if made.free:
            weight = weight * (1 - mask * asked[:, None, None, None])
        found["reg"] = pixel_loss(made.edited, made.image, weight)
        if made.features is not None:
            found["vgg"] = feature_loss(self.features(made.edited), made.features, 1 - asked if made.free else None)
        rewards = sum(share * found[f"reward/{name}"] for name, (_, share) in self.rewards.items())
        kept = found["reg"] + found.get("vgg", 0)
        return {"loss": settings.weight * (rewards + settings.eta * kept)} | found
