"""The paper's baselines that are open: Stable Diffusion inpainting, blended latent diffusion and DiffEdit.

The first and the last are diffusers' own pipelines, blended latent diffusion is a few lines over its parts. The last
two want a text-to-image model; an inpainting UNet is one if it is told that everything is masked, and is told so here.
Sources: SD (arXiv 2112.10752), BLD (arXiv 2206.02779; omriav/blended-latent-diffusion), DiffEdit (arXiv 2210.11427).
"""

from typing import Literal

import numpy as np
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, StableDiffusionInpaintPipeline
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from PIL.Image import Resampling
from torch import Tensor

from byteedit.diffusion import Condition, decode, mode_latents, predict
from byteedit.evaluation.benchmarks.case import EditCase
from byteedit.evaluation.systems.canvas import Paste, from_model, noise, to_model
from byteedit.evaluation.systems.ours import Dtype, open_pipeline, weights_of
from byteedit.evaluation.systems.system import System

__all__ = ["blend", "open_bld", "open_diffedit", "open_sd_inpaint"]

PARTS = ("vae", "text_encoder", "tokenizer", "unet", "feature_extractor")


def open_sd_inpaint(
    model: str | None,
    *,
    steps: int = 50,
    guidance_scale: float = 7.5,
    paste: Paste = "no",
    dtype: Dtype = "float32",
    device: str = "cpu",
) -> System:
    """diffusers' `StableDiffusionInpaintPipeline`, without its safety checker, which would paint answers black.

    Arguments are as `open_byteedit`'s; `paste` puts back what lies outside the mask.
    """
    parts = open_pipeline(model, dtype, device)
    components = {name: parts.components[name] for name in (*PARTS, "scheduler")}
    pipe = StableDiffusionInpaintPipeline(**components, safety_checker=None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    size = parts.native_size()

    def edit(case: EditCase) -> np.ndarray:
        image, mask = to_model(case, size)
        options = {"num_inference_steps": steps, "guidance_scale": guidance_scale, "generator": noise(case)}
        made = pipe(case.prompt or "", image, mask, width=size[0], height=size[1], **options)
        return from_model(made.images[0], case, paste)

    return System(settings=_settings("sd-inpaint", model, steps, guidance_scale, paste, dtype, size), edit=edit)


def open_bld(
    model: str | None,
    *,
    steps: int = 50,
    guidance_scale: float = 7.5,
    start: float = 0.25,
    paste: Paste = "no",
    dtype: Dtype = "float32",
    device: str = "cpu",
) -> System:
    """Blended latent diffusion with DDIM; arguments as `open_sd_inpaint`'s, and `start`, the share of steps skipped."""
    pipe = open_pipeline(model, dtype, device)
    imagine(pipe)
    size, processor = pipe.native_size(), VaeImageProcessor(vae_scale_factor=pipe.vae_scale_factor)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, timestep_spacing="leading")

    def edit(case: EditCase) -> np.ndarray:
        picture, mask = to_model(case, size)
        image = processor.preprocess(picture).to(pipe.device, pipe.dtype)  # (1, 3, H, W) in [-1, 1]
        inside = torch.from_numpy(latent_mask(mask, pipe.vae_scale_factor))[None, None].to(image)  # (1, 1, h, w)
        schedule = {"steps": steps, "guidance_scale": guidance_scale, "start": start}
        made = blend(pipe, image, inside, case.prompt or "", noise(case), **schedule)
        return from_model(processor.postprocess(made)[0], case, paste)

    settings = _settings("bld", model, steps, guidance_scale, paste, dtype, size)
    return System(settings=settings | {"start": start}, edit=edit, tasks=("editing",))


@torch.no_grad()
def blend(
    pipe,
    image: Tensor,
    mask: Tensor,
    prompt: str,
    generator: torch.Generator,
    *,
    steps: int,
    guidance_scale: float,
    start: float,
) -> Tensor:
    """Denoise, and after every step put the picture back outside the mask, as noisy as it was before the step.

    image (1, 3, H, W) in [-1, 1], mask (1, 1, h, w) in {0, 1} -> (1, 3, H, W), about [-1, 1]. As in the authors' script
    for Stable Diffusion, the first `start` of the steps are left out, and what comes after begins with pure noise; the
    steps are spaced so that the last is almost without noise, for that stays in the picture.
    """
    text, negative = pipe.encode_prompt(prompt, pipe.device, 1, guidance_scale > 1)
    source = mode_latents(pipe.vae, image).to(image)  # (1, 4, h, w)
    condition = Condition(text, mask, source, negative, guidance_scale, image_latents=source)
    pipe.scheduler.set_timesteps(steps, device=pipe.device)
    drawn = {"generator": generator, "device": pipe.device, "dtype": source.dtype}
    latents = randn_tensor(source.shape, **drawn)
    for t in pipe.scheduler.timesteps[int(start * steps) :]:
        output = predict(pipe.unet, pipe.scheduler, latents, t, condition)
        latents = pipe.scheduler.step(output, t, latents).prev_sample
        known = pipe.scheduler.add_noise(source, randn_tensor(source.shape, **drawn), t)
        latents = mask * latents + (1 - mask) * known
    return decode(pipe.vae, latents)


def open_diffedit(
    model: str | None,
    *,
    steps: int = 50,
    guidance_scale: float = 7.5,
    strength: float = 0.8,
    mask: Literal["given", "found"] = "given",
    paste: Paste = "no",
    dtype: Dtype = "float32",
    device: str = "cpu",
) -> System:
    """diffusers' `StableDiffusionDiffEditPipeline`; arguments as `open_sd_inpaint`'s, and:

    Args:
        strength: share of the schedule that is inverted and denoised again.
        mask: edit where the case's mask says, or where DiffEdit itself finds that its two prompts differ. The prompt
            for what is there is the case's attribute `source`, or nothing.
    """
    from diffusers import StableDiffusionDiffEditPipeline  # here, since it loads and warns of what nothing else needs

    parts = open_pipeline(model, dtype, device)
    imagine(parts)
    pipe = StableDiffusionDiffEditPipeline(
        **{name: parts.components[name] for name in PARTS},
        scheduler=DDIMScheduler.from_config(parts.scheduler.config),
        inverse_scheduler=DDIMInverseScheduler.from_config(parts.scheduler.config),
        safety_checker=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    size = parts.native_size()

    def edit(case: EditCase) -> np.ndarray:
        image, inside = to_model(case, size)
        before, after = case.attributes.get("source", ""), case.prompt or ""
        options = {"num_inference_steps": steps, "guidance_scale": guidance_scale, "generator": noise(case)}
        if mask == "found":
            where = pipe.generate_mask(image, target_prompt=after, source_prompt=before, **options)
        else:
            where = latent_mask(inside, pipe.vae_scale_factor)[None]
        latents = pipe.invert(before, image, inpaint_strength=strength, **options).latents
        made = pipe(after, where, latents, inpaint_strength=strength, **options)
        return from_model(made.images[0], case, paste)

    settings = _settings("diffedit", model, steps, guidance_scale, paste, dtype, size)
    return System(settings=settings | {"strength": strength, "mask": mask}, edit=edit, tasks=("editing",))


def imagine(pipe) -> None:
    """Make an inpainting UNet take 4 channels as a text-to-image one: it is told that everything is masked.

    A UNet of 4 channels is left as it is.
    """
    if pipe.unet.config.in_channels == 4:
        return
    width, height = pipe.native_size()
    with torch.no_grad():
        grey = mode_latents(pipe.vae, torch.zeros(1, 3, height, width).to(pipe.device)).to(pipe.dtype)
    unknown = torch.cat([torch.ones_like(grey[:, :1]), grey], dim=1)  # (1, 5, h, w)

    def complete(unet, arguments):
        sample, *rest = arguments
        return torch.cat([sample, unknown.expand(len(sample), -1, -1, -1)], dim=1), *rest

    pipe.unet.register_forward_pre_hook(complete)


def latent_mask(mask: Image.Image, cell: int) -> np.ndarray:  # (h, w) float32 in {0, 1}
    """A mask at the latents' size, by nearest neighbour, `cell` pixels each."""
    small = mask.resize((mask.width // cell, mask.height // cell), Resampling.NEAREST)
    return (np.asarray(small) > 127).astype(np.float32)


def _settings(
    system: str, model: str | None, steps: int, guidance_scale: float, paste: Paste, dtype: Dtype, size
) -> dict:
    named = {"system": system, "model": model or "picturebook", "weights": weights_of(model)}
    named |= {"dtype": dtype, "size": list(size), "paste": paste}
    return named | {"num_inference_steps": steps, "guidance_scale": guidance_scale}
