"""The inpainting checkpoint that a stage tunes: opened, told what to learn from, and written again.

Shared by the stages that tune a UNet. What is learnt is theirs. Autoencoder and text encoder stay as they are; of the
UNet, what requires a gradient is trained. It must have 9 channels, to see the mask and the masked picture.
"""

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn

import byteedit
from byteedit import ByteEditInpaintPipeline
from byteedit.data.edits import Edits, open_edits
from byteedit.data.skipped import Skipped
from byteedit.diffusion import is_flow
from byteedit.training.adapters import LoraSettings, add_lora, save_lora
from byteedit.training.items import Items, ItemSettings, Then

__all__ = [
    "TuneSettings",
    "encode_text",
    "make_items",
    "open_base",
    "open_data",
    "place",
    "training_scheduler",
    "write",
]


@dataclass(kw_only=True)
class TuneSettings(ItemSettings, LoraSettings):
    """The settings of a stage that tunes an inpainting model. With a rank, a LoRA is trained, else all of the UNet."""

    base: str
    """Checkpoint that is tuned, in diffusers layout: a folder, a hub name, or picturebook for the one that ships."""
    gradient_checkpointing: bool = False
    """Compute the UNet's activations twice instead of keeping them: about a third slower, much less memory."""


def open_base(settings: TuneSettings) -> ByteEditInpaintPipeline:
    """The pipeline that is tuned, on the CPU: what of its UNet is trained requires a gradient, and nothing else does.

    Raises:
        ValueError: its UNet does not have 9 channels.
    """
    name = byteedit.PICTUREBOOK if settings.base == "picturebook" else settings.base
    pipe = ByteEditInpaintPipeline.from_pretrained(name, safety_checker=None, feature_extractor=None)
    channels = pipe.unet.config.in_channels
    if channels != 9:
        raise ValueError(
            f"The UNet of {settings.base} has {channels} input channels; training needs 9, to show it mask and masked"
            " picture. Start from an inpainting checkpoint, such as stable-diffusion-v1-5/stable-diffusion-inpainting."
        )
    pipe.vae.requires_grad_(False)
    pipe.text_encoder.requires_grad_(False)
    add_lora(pipe.unet, settings)
    if settings.gradient_checkpointing:
        pipe.unet.enable_gradient_checkpointing()
    return pipe


def place(pipe: ByteEditInpaintPipeline, accelerator: Accelerator) -> None:
    """Move what stays as it is to the device; in bfloat16 if training is, else in float32, since float16 gives NaN."""
    for part in (pipe.vae, pipe.text_encoder):
        part.to(accelerator.device)
        if accelerator.mixed_precision == "bf16":
            part.bfloat16()


def training_scheduler(scheduler):
    """The noise that a checkpoint was trained with: a flow's own, else DDIM's, which takes latents as they are."""
    return scheduler if is_flow(scheduler) else DDIMScheduler.from_config(scheduler.config)


@torch.no_grad()
def encode_text(pipe: ByteEditInpaintPipeline, prompt: list[str]) -> Tensor:
    """What the text encoder says of B prompts, cut to its length. -> (B, L, D)"""
    length = pipe.tokenizer.model_max_length
    tokens = pipe.tokenizer(prompt, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    return pipe.text_encoder(tokens.input_ids.to(pipe.text_encoder.device))[0].float()


def open_data(source: str, settings: ItemSettings, skipped: Skipped) -> Edits:
    """D_train at a source, read as the settings say."""
    return open_edits(source, skipped, caption=settings.caption_column, streaming=settings.streaming)


def make_items(pipe: ByteEditInpaintPipeline, edits: Edits, settings: ItemSettings, then: Then | None = None) -> Items:
    """What makes items of the rows of `edits`, of the model's own size where the settings give none."""
    cell = pipe.vae_scale_factor
    side = settings.size or pipe.unet.config.sample_size * cell
    if side % cell:
        raise ValueError(f"size is {side}; the autoencoder needs a multiple of {cell}.")
    return Items(
        read=edits.read,
        size=(side, side),
        mask_probs=settings.mask_probs,
        drop_prompt=settings.drop_prompt,
        flip=settings.flip,
        then=then,
    )


def write(accelerator: Accelerator, unet: nn.Module, kept: dict[str, Tensor], settings: TuneSettings) -> nn.Module:
    """Write the weights that are kept to output/unet, or output/lora; returns the UNet with them."""
    if settings.rank:
        unet = accelerator.unwrap_model(unet, keep_fp32_wrapper=False)
        unet.load_state_dict(kept, strict=False)
        save_lora(unet, settings.output / "lora")
    else:
        unet = UNet2DConditionModel.from_config(unet.config)
        unet.load_state_dict(kept)
        unet.save_pretrained(settings.output / "unet")
    return unet
