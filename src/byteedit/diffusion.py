"""The one differentiable denoising loop, shared by inference, feedback learning and evaluation.

Stops: `encode` makes the condition, `start` the first latents, `rollout` denoises, `decode` gives pixels back.
Left out on purpose: PIL, prompts in words, progress bars (`pipeline`) and losses (`training`).
Source: latent inpainting as in Stable Diffusion; the three stages of one rollout as in ByteEdit (arXiv 2404.04860).
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Condition:
    """What the UNet is told beside the noisy latents. `negative` is what guidance leads away from; None: no guidance.

    A UNet of 9 channels sees mask and masked latents. One of 4 channels does not: there `image_latents` are given, and
    what lies outside the mask is put back after every step.
    """

    text: Tensor  # (B, L, D)
    mask: Tensor  # (B, 1, h, w) in {0, 1}, 1 = generate
    masked_latents: Tensor  # (B, 4, h, w)
    negative: Tensor | None = None  # (B, L, D)
    guidance_scale: float = 1.0
    image_latents: Tensor | None = None  # (B, 4, h, w), only for a UNet of 4 channels
    unet_kwargs: Mapping[str, Any] = field(
        default_factory=dict
    )  # passed on: IP-Adapter, LoRA scale, guidance embedding

    @property
    def guided(self) -> bool:
        """Whether the UNet is asked twice a step."""
        return self.negative is not None and self.guidance_scale > 1

    def unguided(self) -> "Condition":
        """The condition of the steps after guidance: nothing leads away, and of doubled batches the last rows stay."""
        kwargs = dict(self.unet_kwargs)
        if added := kwargs.get("added_cond_kwargs"):  # IP-Adapters'
            kwargs["added_cond_kwargs"] = added | {"image_embeds": [rows.chunk(2)[1] for rows in added["image_embeds"]]}
        return replace(self, negative=None, unet_kwargs=kwargs)

    def rows(self, index: Tensor) -> "Condition":
        """The condition of some rows (n,) of the batch; `unet_kwargs` stay as they are."""
        tensors = {name: value[index] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)


Step = Callable[[int, Tensor, Tensor, Condition], tuple[Tensor, Condition | None]]


def encode_image(vae, image: Tensor, generator=None) -> Tensor:
    """Scaled latents of images. (B, 3, H, W) in [-1, 1] -> (B, 4, h, w), drawn from the posterior.

    `generator`: None, one, or a list with one for each image. Latents (4 channels) come back as they are.
    """
    if image.shape[1] == vae.config.latent_channels:
        return image
    if isinstance(generator, list):
        rows = [encode_image(vae, row, g) for row, g in zip(image.split(1), generator, strict=True)]
        return torch.cat(rows)
    encoded = vae.encode(image.to(vae.dtype))
    # AutoencoderTiny has no posterior, only latents
    latents = encoded.latent_dist.sample(generator) if "latent_dist" in encoded else encoded.latents
    return (vae.config.scaling_factor * latents).to(image.dtype)


def mode_latents(vae, image: Tensor) -> Tensor:
    """Scaled latents of images, the posterior's mode: nothing is drawn. (B, 3, H, W) -> (B, 4, h, w) float32."""
    return vae.encode(image.to(vae.dtype)).latent_dist.mode().float() * vae.config.scaling_factor


def encode(
    vae, image: Tensor, mask: Tensor, text: Tensor, *, masked_latents=None, generator=None, **fields
) -> Condition:
    """Condition of pictures and prompts; one picture goes with every B/N prompts that follow one another.

    image (N, 3, H, W) in [-1, 1], mask (N, 1, H, W) in {0, 1}, text (B, L, D); `masked_latents` (N, 4, h, w) where
    they are at hand already. The hole is 0 (grey) in pixels; the mask is reduced to latent size by nearest neighbour.
    `fields` are the other fields of `Condition`.
    """
    if masked_latents is None:
        masked_latents = encode_image(vae, (image * (mask < 0.5)).to(text), generator)
    masked_latents = masked_latents.to(text)
    mask = F.interpolate(mask, size=masked_latents.shape[-2:]).to(text)
    batch = text.shape[0]
    return Condition(text, spread(mask, batch), spread(masked_latents, batch), **fields)


def spread(rows: Tensor, batch: int) -> Tensor:
    """Repeat each row so that the batch is full, neighbours together: (N, ...) -> (batch, ...), abc -> aabbcc."""
    if batch % rows.shape[0]:
        raise ValueError(
            f"{rows.shape[0]} pictures cannot be shared out over a batch of {batch}; give one each, or one."
        )
    return rows.repeat_interleave(batch // rows.shape[0], dim=0)


def guided_steps(end: float, steps: int) -> int:
    """How many of all steps have guidance that ends after a share of them, in (0, 1]; the first always has."""
    return max(round(end * steps), 1)


def start(scheduler, noise: Tensor, timestep: Tensor | None = None, known: Tensor | None = None) -> Tensor:
    """First latents of a rollout, (B, 4, h, w): pure noise, or `known` latents noised to `timestep` (B,)."""
    if known is None:
        return noise if is_flow(scheduler) else noise * scheduler.init_noise_sigma
    return noised(scheduler, known, noise, timestep)


def noised(scheduler, known: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
    """Latents as noisy as a timestep (B,) or (1,), as the scheduler does it. (B, 4, h, w) twice -> (B, 4, h, w)."""
    if hasattr(scheduler, "scale_noise"):  # flow matching's own; other solvers of a flow have `add_noise`, as all do
        return scheduler.scale_noise(known, timestep, noise)
    return scheduler.add_noise(known, noise, timestep)


def hands_on(scheduler) -> bool:
    """Whether a step goes on from the latents that it is given, as `noise_scale` needs it.

    Euler's count noise in units of their own; PNDM, UniPC, SA-Solver and DPM-Solver's single steps go on from a sample
    that they keep themselves, and so do those that ask the model twice a step.
    """
    own_units = not is_flow(scheduler) and float(scheduler.init_noise_sigma) != 1
    keeps = scheduler.order > 1 or any(hasattr(scheduler, name) for name in ("last_sample", "cur_sample", "sample"))
    return not own_units and not keeps


def predict(unet, scheduler, latents: Tensor, timestep: Tensor, condition: Condition) -> Tensor:
    """The UNet's output for noisy latents, guided where the condition asks for it. (B, 4, h, w) -> (B, 4, h, w).

    timestep: one for all, (), or one for each row, (B,).
    """
    double = (lambda rows: torch.cat([rows] * 2)) if condition.guided else (lambda rows: rows)
    text = torch.cat([condition.negative, condition.text]) if condition.guided else condition.text
    sample = double(latents) if is_flow(scheduler) else scheduler.scale_model_input(double(latents), timestep)
    if condition.image_latents is None:
        sample = torch.cat([sample, double(condition.mask), double(condition.masked_latents)], dim=1)  # (B, 9, h, w)
    if timestep.ndim:  # one for each row
        timestep = double(timestep)
    output = unet(sample, timestep, encoder_hidden_states=text, return_dict=False, **condition.unet_kwargs)[0]
    if not condition.guided:
        return output
    negative, positive = output.chunk(2)
    return negative + condition.guidance_scale * (positive - negative)


def rollout(
    unet,
    scheduler,
    condition: Condition,
    latents: Tensor,
    timesteps: Tensor,
    *,
    noise: Tensor | None = None,
    until: int | None = None,
    grad_steps: int = 0,
    on_step: Step | None = None,
    noise_scale: float = 1.0,
    **step_kwargs,
) -> Tensor:
    """Denoise from `timesteps[0]` on; the gradient passes through the last `grad_steps` steps only.

    latents (B, 4, h, w) as `start` gives them, timesteps (S,) of a scheduler fresh from `set_timesteps`. Returns (B,
    4, h, w): the last sample when all steps are taken, or, with `until` = t' in 1..S (counted from the end, as in
    the paper), the one-step prediction x0' made at step t'. `noise` (B, 4, h, w) is needed by a UNet of 4 channels
    only. `on_step(i, t, latents, condition)` returns latents and condition for the steps to come; None as condition
    stops. `noise_scale`: how much of its noise each step hands on, as in `calmed`; schedulers that count noise
    in other units, as Euler's, hand on all of it. `step_kwargs` go to `scheduler.step` (eta, generator).
    """
    last = len(timesteps) - (1 if until is None else until)
    if not 0 <= last < len(timesteps):
        raise ValueError(f"until is {until}, but the rollout has steps {len(timesteps)}..1; choose one of them.")
    for i, t in enumerate(timesteps[: last + 1]):
        with nullcontext() if i > last - grad_steps else torch.no_grad():
            output = predict(unet, scheduler, latents, t, condition)
            if until is not None and i == last:
                return predict_x0(scheduler, output, t, latents, **step_kwargs)
            before = latents
            latents = scheduler.step(output, t, latents, **step_kwargs, return_dict=False)[0]
            if noise_scale != 1 and i + 1 < len(timesteps) and hands_on(scheduler):
                x0 = x0_of(scheduler, output, t, before)
                latents = calmed(scheduler, latents, x0, timesteps[i + 1], noise_scale)
            if condition.image_latents is not None:
                latents = keep_known(scheduler, latents, condition, noise, timesteps[i + 1 : i + 2])
        if on_step is not None:
            latents, condition = on_step(i, t, latents, condition)
            if condition is None:
                break
    return latents


def calmed(scheduler, latents: Tensor, x0: Tensor, timestep: Tensor, scale: float) -> Tensor:
    """Latents at a timestep () with `scale` of their noise: what in them is not alpha x0. (B, 4, h, w) -> (B, 4, h, w).

    Fewer steps err more, and what they err by looks to the next one like noise, on top of what its timestep stands
    for: less is handed on (epsilon scaling, arXiv 2308.15321, for the sample alone).
    """
    signal = signal_and_noise(scheduler, timestep)[0] * x0
    return (signal + scale * (latents - signal)).to(latents.dtype)


def keep_known(scheduler, latents: Tensor, condition: Condition, noise: Tensor, timestep: Tensor) -> Tensor:
    """Put the picture back outside the mask, as noisy as `timestep` (empty: clean). (B, 4, h, w) -> (B, 4, h, w)."""
    known = condition.image_latents
    if len(timestep):
        known = noised(scheduler, known, noise, timestep)
    return (1 - condition.mask) * known + condition.mask * latents


def predict_x0(scheduler, output: Tensor, timestep: Tensor, latents: Tensor, **step_kwargs) -> Tensor:
    """One-step prediction of the clean latents. (B, 4, h, w) twice -> (B, 4, h, w).

    The scheduler's own `pred_original_sample` where its step gives one (DDIM, Euler, LMS), else from the model output
    (DPM-Solver, UniPC, PNDM, flow matching).
    """
    step = scheduler.step(output, timestep, latents, **step_kwargs)
    if "pred_original_sample" in step:
        return step.pred_original_sample
    return x0_of(scheduler, output, timestep, latents)


def x0_of(scheduler, output: Tensor, timestep: Tensor, latents: Tensor) -> Tensor:
    """What the model's output says the clean latents are, at a timestep () or one for each row (B,).

    latents as the model saw them, x_t = alpha x_0 + sigma e. (B, 4, h, w) twice -> (B, 4, h, w). Raises `ValueError`
    for a prediction type that is none of epsilon, v_prediction, sample and flow.
    """
    alpha, sigma = (share.view(-1, 1, 1, 1) for share in signal_and_noise(scheduler, timestep))
    if is_flow(scheduler):
        return latents - sigma * output
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return (latents - sigma * output) / alpha
    if kind == "v_prediction":
        return alpha * latents - sigma * output
    if kind == "sample":
        return output
    raise ValueError(
        f"The scheduler's prediction_type is {kind!r}; x0 is known for epsilon, v_prediction, sample and flow."
    )


def is_flow(scheduler) -> bool:
    """Whether the model predicts e - x_0 (flow matching), of which the schedulers made for it say nothing."""
    return scheduler.config.get("prediction_type", "flow_prediction") == "flow_prediction"


def signal_and_noise(scheduler, timestep: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of signal and noise at timesteps, () or (B,): x_t = alpha x_0 + sigma e."""
    if is_flow(scheduler):
        sigma = timestep / scheduler.config.num_train_timesteps
        return 1 - sigma, sigma
    alphas_cumprod = scheduler.alphas_cumprod[timestep.long().cpu()].to(timestep.device)
    return alphas_cumprod**0.5, (1 - alphas_cumprod) ** 0.5


def decode(vae, latents: Tensor, **kwargs) -> Tensor:
    """Pictures of latents, not clamped. (B, 4, h, w) -> (B, 3, H, W), about [-1, 1], in the autoencoder's precision.

    `kwargs` go to `vae.decode`.
    """
    return vae.decode((latents / vae.config.scaling_factor).to(vae.dtype), return_dict=False, **kwargs)[0]
