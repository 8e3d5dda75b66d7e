"""The pipeline that a command opens: a model, its LoRAs, quietly, on a device."""

import logging
import warnings

import diffusers
import huggingface_hub
import torch
import transformers
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

from byteedit.commands.pictures import parse_lora
from byteedit.hub import asked_for
from byteedit.pipeline import opening

__all__ = ["add_loras", "default_device", "default_loras", "open_pipeline", "quiet"]

ACCELERATED = {"edit": "fast4", "outpaint": "fast8"}
"""What makes the model that ships fast. Beyond the border 8 steps put more of what a prompt names."""


def default_loras(model: str, outpaint: bool = False) -> tuple[str, ...]:
    """The LoRAs of a model for which none were asked for: accelerated weights for the one that ships."""
    return (ACCELERATED["outpaint" if outpaint else "edit"],) if model == "picturebook" else ()


def add_loras(pipe, loras: tuple[str, ...]) -> None:
    """Load LoRAs, each with its weight, into a pipeline without any."""
    parsed = [parse_lora(text) for text in loras]
    for i, (path, _) in enumerate(parsed):
        with warnings.catch_warnings(), asked_for("LoRA", path):
            warnings.filterwarnings("ignore", "Already found a `peft_config`")  # several are meant
            pipe.load_lora_weights(opening.locate_lora(path), adapter_name=f"lora{i}")
    if parsed:
        pipe.set_adapters([f"lora{i}" for i in range(len(parsed))], [weight for _, weight in parsed])
        if pipe.dtype == torch.float32:  # in half precision, small changes would be rounded away
            pipe.fuse_lora()
            pipe.unload_lora_weights()  # what is fused stays, and the schedule; the layers around it cost time


def open_pipeline(model: str, dtype: torch.dtype = torch.float32):
    """A pipeline as `pipeline.opening` has it, for a command: quietly, and as fast as a processor runs it."""
    quiet()
    pipe = opening.open_pipeline(model, dtype)
    pipe.vae.to(memory_format=torch.channels_last)  # its convolutions take a fifth less time on a processor
    return pipe


def quiet() -> None:
    """No bars and remarks of the libraries, which are for developers."""
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    huggingface_hub.utils.logging.set_verbosity_error()
    logging.getLogger(StableDiffusionSafetyChecker.__module__).setLevel(logging.WARNING)  # why a result is black


def default_device() -> str:
    """The accelerator if there is one, else the processor."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
