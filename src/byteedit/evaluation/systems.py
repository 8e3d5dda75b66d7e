"""A system answers cases: here a pipeline, each case with noise of its own, whatever batch it comes in.

Answers are arrays, so that the scores need neither torch nor PIL. The only part of the evaluation that uses torch.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image

from byteedit.evaluation.picturebench import Case

__all__ = ["answer", "answers"]


def answers(pipe, cases: Sequence[Case], batch: int = 8, **settings) -> Iterator[np.ndarray]:
    """What `pipe` makes of each case, in order: (128, 128, 3) uint8.

    Args:
        cases: all of one task. Outpaintings, whose inputs differ in size, go one by one.
        batch: how many cases go through the model at once.
        settings: passed on to the pipeline, such as `num_inference_steps` and `guidance_scale`.
    """
    batch = 1 if cases and cases[0].task == "outpainting" else batch
    for start in range(0, len(cases), batch):
        yield from answer(pipe, cases[start : start + batch], **settings)


def answer(pipe, cases: Sequence[Case], **settings) -> list[np.ndarray]:
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
