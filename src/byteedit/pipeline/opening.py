"""Open a pipeline by a name as people type it: a folder, a file, a hub name, or the model and the LoRAs that ship."""

from pathlib import Path

import torch

import byteedit
from byteedit.hub import asked_for

__all__ = ["locate_lora", "locate_model", "open_pipeline"]


def locate_model(name: str) -> str:
    """The folder of the model that ships for "picturebook"; any other folder, file or hub name as it is."""
    return byteedit.PICTUREBOOK if name == "picturebook" else name


def locate_lora(name: str) -> str:
    """The folder of a LoRA that ships, by its name; any other folder, file or hub name as it is."""
    shipped = Path(byteedit.LORAS) / name
    return str(shipped) if shipped.is_dir() else name


def open_pipeline(name: str, dtype: torch.dtype = torch.float32) -> "byteedit.ByteEditInpaintPipeline":
    """The pipeline in a folder or a .safetensors file, of a hub name, or "picturebook".

    Raises:
        ValueError: it is neither here nor on the hub, or is none.
    """
    model, pipeline = locate_model(name), byteedit.ByteEditInpaintPipeline
    opening = pipeline.from_single_file if model.endswith(".safetensors") else pipeline.from_pretrained
    with asked_for("model", model):
        return opening(model, dtype=dtype)
