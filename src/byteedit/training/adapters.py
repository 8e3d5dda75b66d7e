"""LoRA on a UNet: which layers are trained, and a file that our pipeline and diffusers' own load alike.

The adapters are peft's. Rank, alpha and layers travel in the file's metadata; without them a LoRA would load at another
strength. No training here. Source: LoRA (arXiv 2106.09685).
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from peft import LoraConfig, get_peft_model_state_dict
from torch import nn

__all__ = ["LoraSettings", "add_lora", "save_lora"]

NAME = "default"  # of the adapter in training; who loads the file chooses another


@dataclass(kw_only=True)
class LoraSettings:
    """What of a UNet is trained."""

    rank: int = 0
    """Rank of the LoRA; 0 trains all weights instead. (Paper: all weights)"""
    alpha: float = 0.0
    """The LoRA counts alpha / rank; 0 stands for rank, so that it counts once."""
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "conv_in")
    """Ends of the names of the layers that get one. conv_in is where mask and masked picture come in."""


def add_lora(unet: nn.Module, settings: LoraSettings) -> None:
    """Leave only a new LoRA to be trained, in float32, which at first changes nothing; without a rank, all weights.

    Raises:
        ValueError: no layer's name ends like any of the targets; the rank is negative.
    """
    if settings.rank < 0:
        raise ValueError(f"rank is {settings.rank}; give 0 to train all weights, or the rank of a LoRA.")
    if not settings.rank:
        unet.requires_grad_(True)
        return
    unet.requires_grad_(False)
    unet.add_adapter(
        LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha or settings.rank,
            target_modules=list(settings.targets),
            init_lora_weights="gaussian",
        ),
        adapter_name=NAME,
    )
    for parameter in unet.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def save_lora(unet: nn.Module, folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    """Write the LoRA that `unet` carries, for `load_lora_weights(folder)`; returns the file."""
    layers = {name: value.to(dtype) for name, value in get_peft_model_state_dict(unet, adapter_name=NAME).items()}
    StableDiffusionLoraLoaderMixin.save_lora_weights(
        folder, unet_lora_layers=layers, unet_lora_adapter_metadata=unet.peft_config[NAME].to_dict()
    )
    return folder / "pytorch_lora_weights.safetensors"
