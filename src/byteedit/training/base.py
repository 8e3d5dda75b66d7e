"""The inpainting checkpoint that a stage tunes: opened, told what to learn from, and written again.

Shared by the stages that tune a UNet. What is learnt is theirs. Autoencoder and text encoder stay as they are; of the
UNet, what requires a gradient is trained. It must have 9 channels, to see the mask and the masked picture.
"""

import logging
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, UNet2DConditionModel
from torch import Tensor, nn

from byteedit import ByteEditInpaintPipeline
from byteedit.data.edits import Edits, files_of, open_edits
from byteedit.data.images import Unusable
from byteedit.data.skipped import Skipped
from byteedit.diffusion import is_flow
from byteedit.hub import asked_for, nowhere
from byteedit.pipeline.opening import locate_model
from byteedit.schedule import Schedule
from byteedit.training.adapters import (
    LoraSettings,
    add_lora,
    fill_lora,
    fill_unet,
    fitting_lora,
    lora_between,
    mean_lora,
    save_lora,
)
from byteedit.training.batches import Batch, Row
from byteedit.training.items import Items, ItemSettings, Then
from byteedit.training.settings import Settings
from byteedit.training.streams import Shard, collate

__all__ = [
    "TuneSettings",
    "as_written",
    "encode_text",
    "held_out_batches",
    "make_items",
    "open_base",
    "open_data",
    "open_held_out",
    "rollout_scheduler",
    "to_device",
    "training_scheduler",
    "write",
]

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class TuneSettings(ItemSettings, LoraSettings):
    """The settings of a stage that tunes an inpainting model. With a rank, a LoRA is trained, else all of the UNet."""

    free: ClassVar[frozenset[str]] = Settings.free | {"soup", "share", "share_from", "half", "push"}

    base: str
    """Checkpoint that is tuned, in diffusers layout: a folder, a hub name, or picturebook for the one that ships."""
    tuned: str = ""
    """What an earlier stage wrote, to go on from: its lora folder, or, where rank is 0, its unet folder. Without, the
    base as it is."""
    gradient_checkpointing: bool = False
    """Compute the UNet's activations twice instead of keeping them: about a third slower, much less memory."""
    held_out: str = ""
    """Where rows are that are never trained on, as in `data`; they are what is measured. Without, nothing is."""
    held_out_rows: int = 32
    """How many of them are measured, from the first; mask, prompt and noise of each are always the same."""
    soup: tuple[str, ...] = ()
    """LoRAs of other runs that began as this one did, such as with other seeds: what is written is the mean of theirs
    and of this run's weights, before a `share` is taken. (Model soups, arXiv 2203.05482)"""
    share: float = 1.0
    """How much of what a LoRA has learnt is written, and measured so, in (0, 1]: with 0.5, weights halfway between the
    base's and what they became, also where the LoRA began as another's. What is watched in training is all of it.
    (WiSE-FT, arXiv 2109.01903)"""
    share_from: Literal["base", "tuned"] = "base"
    """Whose weights those are that a share leads away from: the base's, or those of the LoRA `tuned`."""
    half: bool = False
    """Write the finished weights in float16, half as large; they are measured as written."""
    push: str = ""
    """Repository of the hub that the finished weights are uploaded to; without, nothing is."""

    def __post_init__(self):
        super().__post_init__()
        self.targets, self.soup = tuple(self.targets), tuple(self.soup)
        if self.held_out_rows < 1:
            raise ValueError(f"held_out_rows is {self.held_out_rows}; give 1 or more.")
        if self.soup and not self.rank:
            raise ValueError(f"soup is {self.soup}, which are LoRAs; set a rank, or leave soup empty.")
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}; give more than 0, and at most 1 for all that was learnt.")
        if self.share < 1 and not self.rank:
            raise ValueError(f"share is {self.share}, which is for a LoRA; set a rank, or leave share at 1.")
        if self.share_from == "tuned" and not self.tuned:
            raise ValueError("share_from is tuned, and tuned is empty; say which LoRA this one goes on from.")
        if self.share_from == "tuned" and not self.rank:
            raise ValueError("share_from is tuned, which is for a LoRA; set a rank, or leave share_from at base.")

    @property
    def written(self) -> Path:
        """The folder of the finished weights."""
        return self.output / ("lora" if self.rank else "unet")

    @property
    def start(self) -> str:
        """What training begins with, in words."""
        return f"{self.base}, with {self.tuned}" if self.tuned else self.base

    def told(self) -> dict[str, Any]:
        """The settings that a model card tells: how many steps, those of the course that are not empty, and what is
        written of what was learnt, where that is not all of it."""
        course = {name: value for name, value in self.course().items() if value not in ("", {})}
        written = {name: getattr(self, name) for name in ("soup", "share", "share_from")}
        written = {name: value for name, value in written.items() if value != getattr(TuneSettings, name)}
        return {"steps": self.steps} | course | written


def open_base(settings: TuneSettings) -> ByteEditInpaintPipeline:
    """The pipeline that is tuned, on the CPU: what of its UNet is trained requires a gradient, and nothing else does.

    Raises:
        ValueError: its UNet does not have 9 channels, or `tuned` or one of `soup` is nowhere, or a LoRA of other
            layers, rank or alpha, or `tuned` another kind of UNet.
    """
    for setting, lora in (("tuned", settings.tuned), *(("soup", one) for one in settings.soup)):
        if lora and nowhere(lora):
            raise ValueError(f"{setting} is {lora}, and nothing is there; run the stage that writes it.")
    name = locate_model(settings.base)
    with asked_for("base", name):
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
    with asked_for("tuned", settings.tuned):
        if settings.tuned and settings.rank:
            fill_lora(pipe.unet, settings.tuned)
        elif settings.tuned:
            fill_unet(pipe.unet, settings.tuned)
    for one in settings.soup:
        with asked_for("soup", one):
            fitting_lora(pipe.unet, one)
    if settings.gradient_checkpointing:
        pipe.unet.enable_gradient_checkpointing()
    return pipe


def to_device(pipe: ByteEditInpaintPipeline, accelerator: Accelerator) -> None:
    """Move what stays as it is to the device; in bfloat16 if training is, else in float32, since float16 gives NaN."""
    for part in (pipe.vae, pipe.text_encoder):
        part.to(accelerator.device)
        if accelerator.mixed_precision == "bf16":
            part.bfloat16()


def training_scheduler(scheduler):
    """The noise that a checkpoint was trained with: a flow's own, else DDIM's, which takes latents as they are.

    Its steps are spaced as the checkpoint's, also where a config leaves that to another solver's default. Nothing is
    clipped: that is for pixels, and DDIM's default where a config does not speak of it.
    """
    if is_flow(scheduler):
        return scheduler
    own = {name: scheduler.config[name] for name in ("timestep_spacing", "steps_offset") if name in scheduler.config}
    return DDIMScheduler.from_config(scheduler.config, clip_sample=False, thresholding=False, **own)


def rollout_scheduler(scheduler):
    """That which rollouts are trained with: `training_scheduler`, if its steps are what it says, each by itself.

    Raises:
        ValueError: they are not.
    """
    if not is_flow(scheduler):
        if scheduler.config.get("timestep_spacing") == "linspace":
            raise ValueError(
                "Steps are spaced linspace, further apart than those that DDIM takes, which trains; set "
                "timestep_spacing to trailing or leading."
            )
    elif not isinstance(scheduler, FlowMatchEulerDiscreteScheduler) or scheduler.config.use_dynamic_shifting:
        raise ValueError(
            f"The base's scheduler is {type(scheduler).__name__}; rollouts of a flow are trained with a "
            "FlowMatchEulerDiscreteScheduler that does not shift dynamically. Give the base one."
        )
    return training_scheduler(scheduler)


@torch.no_grad()
def encode_text(pipe: ByteEditInpaintPipeline, prompt: list[str]) -> Tensor:
    """What the text encoder says of B prompts, cut to its length. -> (B, L, D)"""
    length = pipe.tokenizer.model_max_length
    tokens = pipe.tokenizer(prompt, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    return pipe.text_encoder(tokens.input_ids.to(pipe.text_encoder.device))[0].float()


def open_data(source: str, settings: ItemSettings, skipped: Skipped) -> Edits:
    """D_train at a source, read as the settings say; a shard that cannot be read to its end is counted."""
    columns = {"caption": settings.caption_column, "image": settings.image_column}
    edits = open_edits(source, skipped, **columns, config=settings.config or None, streaming=settings.streaming)
    return replace(edits, shards=[Shard(shard, skipped) for shard in edits.shards])


def make_items(pipe: ByteEditInpaintPipeline, edits: Edits, settings: ItemSettings, then: Then | None = None) -> Items:
    """What makes items of the rows of `edits`, of the model's own size where the settings give none."""
    cell = pipe.vae_scale_factor
    width, height = (settings.size, settings.size) if settings.size else pipe.native_size()
    if width % cell or height % cell:
        raise ValueError(f"size is {settings.size}; the autoencoder needs a multiple of {cell}.")
    return Items(
        read=edits.read,
        size=(height, width),
        mask_probs=settings.mask_probs,
        drop_prompt=settings.drop_prompt,
        flip=settings.flip,
        then=then,
    )


def open_held_out(
    pipe: ByteEditInpaintPipeline, settings: TuneSettings, skipped: Skipped, then: Then | None = None
) -> list[Batch]:
    """What the settings hold out, as `held_out_batches` gives it; none where that is nothing."""
    if not settings.held_out:
        return []
    if settings.held_out == settings.data:
        logger.warning(
            "held_out is %s, as data is, so nothing is held out; name rows that are not learnt, such as %s:validation.",
            *(settings.held_out, settings.data),
        )
    elif shared := sorted(files_of(settings.data) & files_of(settings.held_out)):
        raise ValueError(
            f"{shared[0]} is of {settings.held_out}, and of {settings.data}, too, so it would not be held out; name "
            "files or folders for their splits, train and validation."
        )
    edits = open_data(settings.held_out, settings, skipped)
    return held_out_batches(edits, make_items(pipe, edits, settings, then), settings, skipped)


def held_out_batches(edits: Edits, items: Items, settings: TuneSettings, skipped: Skipped) -> list[Batch]:
    """The first rows that can be used, in batches on the CPU.

    Raises:
        ValueError: there is none.
    """
    made: list[Row] = []
    rows = chain.from_iterable(edits.shards) if edits.rows is None else edits.rows
    for number, row in enumerate(rows):
        if len(made) == settings.held_out_rows:
            break
        try:
            made.append(items.prepare(row, np.random.default_rng((0, number))) | {"skipped": []})
        except Unusable as reason:
            skipped.add(str(reason))
    if not made:
        raise ValueError(f"{settings.held_out} has no row that can be used: {skipped}. Look at it, or leave it out.")
    size = settings.batch_size
    return [collate(made[first : first + size]) for first in range(0, len(made), size)]


def as_written(kept: dict[str, Tensor], settings: TuneSettings) -> dict[str, Tensor]:
    """Weights as they will be read: the mean with those of `soup`, a share of it, rounded if the settings say so."""
    if settings.soup:
        kept = mean_lora(kept, settings.soup)
    if settings.share_from == "tuned":
        kept = lora_between(kept, settings.tuned, settings.share)
    else:
        kept = {name: value * settings.share if "lora_B" in name else value for name, value in kept.items()}
    return {name: value.half().float() for name, value in kept.items()} if settings.half else kept


def write(
    unet: nn.Module, kept: dict[str, Tensor], settings: TuneSettings, schedule: Schedule | None = None
) -> nn.Module:
    """Write the weights that are kept to output/unet, or output/lora; returns the UNet with them, as they are read.

    schedule: what the LoRA recommends.
    """
    kept = as_written(kept, settings)
    if settings.rank:
        unet.load_state_dict(kept, strict=False)
        save_lora(unet, settings.written, torch.float16 if settings.half else torch.float32, schedule)
    else:
        unet = UNet2DConditionModel.from_config(unet.config)
        unet.load_state_dict(kept)
        (unet.half() if settings.half else unet).save_pretrained(settings.written)
    return unet.float()
