"""`byteedit`: our pipeline answers cases, each with noise of its own, whatever batch it comes in.

Answers are arrays, so that the scores need neither torch nor PIL.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Literal

import numpy as np
import torch
from PIL import Image

from byteedit.evaluation.benchmarks.case import EditCase
from byteedit.evaluation.picturebench import Case
from byteedit.evaluation.systems.system import System
from byteedit.files import weights_sha256
from byteedit.pipeline import opening

__all__ = ["answer", "answers", "open_byteedit", "open_pipeline"]

Dtype = Literal["float32", "float16", "bfloat16"]


def answers(pipe, cases: Sequence[Case | EditCase], batch: int = 8, **settings) -> Iterator[np.ndarray]:
    """What `pipe` makes of each case, in order: (H, W, 3) uint8.

    Args:
        cases: all of one task. Outpaintings, whose inputs differ in size, go one by one.
        batch: how many cases go through the model at once.
        settings: passed on to the pipeline, such as `num_inference_steps` and `guidance_scale`.
    """
    batch = 1 if cases and cases[0].task == "outpainting" else batch
    for start in range(0, len(cases), batch):
        yield from answer(pipe, cases[start : start + batch], **settings)


def answer(pipe, cases: Sequence[Case | EditCase], **settings) -> list[np.ndarray]:
    """One batch: cases of one task, and for outpainting only one case."""
    task = cases[0].task
    images, masks = [Image.fromarray(case.image) for case in cases], [Image.fromarray(case.mask) for case in cases]
    settings["generator"] = [torch.Generator().manual_seed(case.seed) for case in cases]
    if task == "editing":
        made = pipe(prompt=[case.prompt for case in cases], image=images, mask_image=masks, **settings)
    elif task == "erasing":
        made = pipe.erase(images, masks, **settings)
    else:
        made = pipe.outpaint(images, **cases[0].extension, prompt=cases[0].prompt, **settings)
    return [np.asarray(image.convert("RGB")) for image in made.images]


def open_byteedit(
    model: str | None,
    *,
    lora: str | None = None,
    weight: float = 1.0,
    steps: int | None = None,
    guidance_scale: float | None = None,
    dtype: Dtype = "float32",
    device: str = "cpu",
) -> System:
    """Our pipeline with any checkpoint.

    Args:
        model: a folder, a .safetensors file or a hub name; None or "picturebook" is the one that ships.
        lora: a LoRA's folder, file or hub name, or the name of one that ships; and `weight`, how strongly it counts.
        steps, guidance_scale: denoising steps and strength of guidance; None: as checkpoint and LoRA recommend.
        dtype: precision of the model.
        device: such as "cuda".
    """
    pipe = open_pipeline(model, dtype, device)
    if lora is not None:
        pipe.load_lora_weights(opening.locate_lora(lora), adapter_name="lora")
        pipe.set_adapters("lora", weight)
    asked = {"num_inference_steps": steps, "guidance_scale": guidance_scale}
    return System(
        settings={
            "system": "byteedit",
            "model": model or "picturebook",
            "weights": weights_of(model),
            "lora": lora,
            "lora_weights": lora and weights_sha256(opening.locate_lora(lora)),
            "weight": weight,
            "dtype": dtype,
            **asdict(pipe.schedule.asked(**asked)),
        },
        edit=lambda case: answer(pipe, [case], **asked)[0],
    )


def weights_of(model: str | None) -> str | None:
    """What tells a model that was trained again from what it was; None or "picturebook" is the one that ships."""
    return weights_sha256(opening.locate_model(model or "picturebook"))


def open_pipeline(model: str | None, dtype: Dtype = "float32", device: str = "cpu"):
    """Our pipeline as `pipeline.opening` has it, without its bar; None is the model that ships."""
    pipe = opening.open_pipeline(model or "picturebook", getattr(torch, dtype)).to(device)
    pipe.set_progress_bar_config(disable=True)
    return pipe
