"""Open a pipeline by a name as people type it: a folder, a file, a hub name, or the model and the LoRAs that ship."""

from pathlib import Path

import torch

import byteedit
from byteedit.hub import asked_for

__all__ = ["locate_lora", "locate_model", "open_pipeline"]

ADDRESSES = ("http://", "https://")  # under which a single file is on the hub


def locate_model(name: str) -> str:
    """The folder of the model that ships for "picturebook"; any other folder, file or hub name as it is.

    Raises:
        ValueError: there is no such file, or the folder is a training's, or of a part of a model alone.
    """
    if name == "picturebook":
        return byteedit.PICTUREBOOK
    if name.endswith(".safetensors") and not name.startswith(ADDRESSES) and not Path(name).is_file():
        raise ValueError(f"there is no file {name}.")
    if (Path(name) / "pytorch_lora_weights.safetensors").is_file():
        raise ValueError(f"{name} is a LoRA, no model; name the model that it is for, and the LoRA beside it.")
    refuse_parts(name, "model")
    return name


def locate_lora(name: str) -> str:
    """The folder of a LoRA that ships, by its name; any other folder, file or hub name as it is.

    Raises:
        ValueError: there is no such file, or the folder is a training's, or a UNet's.
    """
    shipped = Path(byteedit.LORAS) / name
    if shipped.is_dir():
        return str(shipped)
    if name.endswith(".safetensors") and not Path(name).is_file():
        raise ValueError(f"there is no file {name}.")
    refuse_parts(name, "LoRA")
    return name


def refuse_parts(name: str, what: str) -> None:
    """Raise ValueError where a folder is what a training wrote around a LoRA or a UNet, or that UNet."""
    folder = Path(name)
    if (folder / "model_index.json").is_file():
        return
    if loras := [str(lora) for lora in (folder / "lora", *sorted(folder.glob("*/lora"))) if lora.is_dir()]:
        raise ValueError(f"{name} is no {what}; the LoRA lies in {', '.join(loras)}.")
    for unet in (folder, folder / "unet"):
        config = unet / "config.json"
        if config.is_file() and '"UNet2DConditionModel"' in config.read_text(encoding="utf-8"):
            raise ValueError(
                f"{unet} is a UNet alone, no {what}; put it into its pipeline (docs/feedback.md, Load it)."
            )


def open_pipeline(name: str, dtype: torch.dtype = torch.float32) -> "byteedit.ByteEditInpaintPipeline":
    """The pipeline in a folder or a .safetensors file, of a hub name, or "picturebook".

    Raises:
        ValueError: it is neither here nor on the hub, or is none.
    """
    model, pipeline = locate_model(name), byteedit.ByteEditInpaintPipeline
    opening = pipeline.from_single_file if model.endswith(".safetensors") else pipeline.from_pretrained
    with asked_for("model", model):
        return opening(model, dtype=dtype)
