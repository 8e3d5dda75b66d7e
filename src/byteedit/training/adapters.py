"""What of a UNet is trained, a LoRA or all of it, and its file, which our pipeline and diffusers' own load alike.

The adapters are peft's. Rank, alpha and layers travel in the file's metadata; without them a LoRA would load at another
strength. So does the schedule that it is to be used with, where it has one. No training here.
Source: LoRA (arXiv 2106.09685).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn

from byteedit.schedule import Schedule

__all__ = [
    "LoraSettings",
    "add_lora",
    "fill_lora",
    "fill_unet",
    "fitting_lora",
    "lora_between",
    "mean_lora",
    "save_lora",
    "warn_of_schedule",
]

logger = logging.getLogger(__name__)

NAME = "default"  # of the adapter in training; who loads the file chooses another
FILE = "pytorch_lora_weights.safetensors"


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
        ValueError: no layer's name ends like one of the targets, or there are none; the rank is negative.
    """
    if settings.rank < 0:
        raise ValueError(f"rank is {settings.rank}; give 0 to train all weights, or the rank of a LoRA.")
    if not settings.rank:
        unet.requires_grad_(True)
        return
    if not settings.targets:
        raise ValueError("targets is empty; give ends of names of layers, such as [to_q, to_v], or leave the line out.")
    layers = [f".{name}" for name, _ in unet.named_modules()]
    if idle := [target for target in settings.targets if not any(name.endswith(f".{target}") for name in layers)]:
        raise ValueError(f"targets has {idle[0]}, and no layer's name ends so; leave it out, or see to its spelling.")
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


def fill_lora(unet: nn.Module, source: str | Path) -> None:
    """Give the LoRA that `unet` carries the weights of a saved one. Raises as `fitting_lora` does."""
    set_peft_model_state_dict(unet, fitting_lora(unet, source), adapter_name=NAME)


def fill_unet(unet: nn.Module, source: str | Path) -> None:
    """Give `unet` the weights of a saved one: of its folder, or a hub name.

    Raises:
        ValueError: that one has other layers, or is a whole pipeline or no UNet at all.
    """
    if (Path(source) / "model_index.json").is_file():
        raise ValueError(f"{source} is a whole pipeline; name its unet folder, or make it the base.")
    if Path(source).is_dir() and not (Path(source) / "config.json").is_file():
        raise ValueError(f"{source} is no UNet; name its unet folder, or, where it is a LoRA's, set the LoRA's rank.")
    weights = UNet2DConditionModel.from_pretrained(source).state_dict()
    shapes = [{name: value.shape for name, value in each.items()} for each in (unet.state_dict(), weights)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"The UNet at {source} has other layers than the base's; name one that began as it did.")
    unet.load_state_dict(weights)


def fitting_lora(unet: nn.Module, source: str | Path) -> dict[str, Tensor]:
    """The weights of a saved LoRA that is like the one that `unet` carries: of a folder, a file or a hub name.

    Raises:
        ValueError: that one has other layers, another rank, or another alpha.
    """
    layers, metadata = read_lora(source)
    ours, config = get_peft_model_state_dict(unet, adapter_name=NAME), unet.peft_config[NAME]
    shapes = [{name: value.shape for name, value in each.items()} for each in (ours, layers)]
    alpha = metadata.get("unet.lora_alpha", config.lora_alpha)
    if shapes[0] != shapes[1] or alpha != config.lora_alpha:
        rank = next((len(value) for name, value in layers.items() if "lora_A" in name), "unknown")
        raise ValueError(
            f"The LoRA at {source} (rank {rank}, alpha {alpha}) is not one of rank {config.r}, alpha "
            f"{config.lora_alpha} and the layers in targets; set rank, alpha and targets as it was trained with."
        )
    return layers


def warn_of_schedule(source: str | Path) -> None:
    """Say that what a LoRA was made for is lost, where what goes on from it does not say how it is to be used."""
    if source and (schedule := Schedule.of_lora(read_lora(source)[1])):
        logger.warning(
            "%s is made for guidance %g and noise %g, which is not gone on with: what is written goes by the base's "
            "schedule. Feedback learning writes what `recommends` says.",
            *(source, schedule.guidance_scale, schedule.noise_scale),
        )


def lora_between(kept: dict[str, Tensor], source: str | Path, share: float) -> dict[str, Tensor]:
    """Weights, a `share` of the way from the saved LoRA that they began with to their own, by the UNet's names."""
    begun = saved(kept, source)
    return {name: begun[name].lerp(value, share) for name, value in kept.items()}


def mean_lora(kept: dict[str, Tensor], sources: Sequence[str | Path]) -> dict[str, Tensor]:
    """The mean of weights and of saved LoRAs that began as the same one, by the UNet's names.

    Each of their matrices is averaged for itself, not what A and B multiply to: close to it where runs began alike.
    Source: model soups (arXiv 2203.05482).
    """
    every = [kept, *(saved(kept, source) for source in sources)]
    return {name: torch.stack([one[name] for one in every]).mean(0) for name in kept}


def saved(kept: dict[str, Tensor], source: str | Path) -> dict[str, Tensor]:
    """The weights of a saved LoRA as `kept` has its own: by the same names, of the same type, on the same device."""
    layers, _ = read_lora(source)
    return {name: layers[name.replace(f".{NAME}.", ".")].to(value) for name, value in kept.items()}


def read_lora(source: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights of a saved LoRA, by peft's names, and its metadata: of a folder, a file or a hub name.

    Raises:
        ValueError: it is a folder without any weights of its own.
    """
    if Path(source).is_dir() and not any(Path(source).glob("*.safetensors")):
        raise ValueError(f"{source} is no LoRA; name the folder of its {FILE}.")
    state, _, metadata = StableDiffusionLoraLoaderMixin.lora_state_dict(str(source), return_lora_metadata=True)
    return {name.removeprefix("unet."): value for name, value in state.items()}, metadata or {}


def save_lora(
    unet: nn.Module, folder: Path, dtype: torch.dtype = torch.float32, schedule: Schedule | None = None
) -> Path:
    """Write the LoRA that `unet` carries, for `load_lora_weights(folder)`; returns the file.

    Our pipeline takes the `schedule` for its own where the LoRA is loaded; others load the weights all the same.
    """
    layers = {name: value.to(dtype) for name, value in get_peft_model_state_dict(unet, adapter_name=NAME).items()}
    metadata = {  # sets, in an order that is always the same
        f"unet.{name}": sorted(value) if isinstance(value, set) else value
        for name, value in unet.peft_config[NAME].to_dict().items()
    }
    StableDiffusionLoraLoaderMixin.write_lora_layers(
        StableDiffusionLoraLoaderMixin.pack_weights(layers, "unet"),
        str(folder),
        is_main_process=True,
        weight_name=FILE,
        save_function=None,
        safe_serialization=True,
        lora_adapter_metadata=metadata | (schedule.to_lora() if schedule else {}),
    )
    return Path(folder) / FILE
