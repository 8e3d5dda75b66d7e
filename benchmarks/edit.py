"""Wall time of an edit beside diffusers' `StableDiffusionInpaintPipeline`, on the same weights, in alternation.

    python benchmarks/edit.py --model FOLDER --rounds 15 --record

Prints the ratio of the times, ours / theirs, as the median over pairs with a bootstrap interval of 95 %, at 20 and at
8 steps. Both get the same picture of the model's own size, prompt, guidance and seed; ours does all that it does by
default.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from diffusers import StableDiffusionInpaintPipeline
from PIL import Image

import byteedit
from results import filing, median


def main() -> None:
    """Measure, print and, if asked, record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default=byteedit.PICTUREBOOK, help="folder in diffusers layout")
    parser.add_argument("--rounds", type=int, default=15, help="pairs of edits at each number of steps")
    parser.add_argument("--guidance-scale", type=float, default=3.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--record", action="store_true", help="keep the figures in docs/results.json")
    options = parser.parse_args()
    file = filing(options.record, f"python benchmarks/edit.py --rounds {options.rounds} --record")

    ours = byteedit.ByteEditInpaintPipeline.from_pretrained(options.model).to(options.device)
    theirs = StableDiffusionInpaintPipeline(**ours.components, requires_safety_checker=False).to(options.device)
    image, mask = scene(ours.unet.config.sample_size * ours.vae_scale_factor)
    for steps in (20, 8):
        call = {"num_inference_steps": steps, "guidance_scale": options.guidance_scale}
        pair = [editor(pipe, image, mask, options.device, call) for pipe in (ours, theirs)]
        file(f"bench.edit.ratio_to_diffusers.{steps}", *measure(*pair, options.rounds), options.rounds)


def scene(size: int) -> tuple[Image.Image, Image.Image]:
    """A picture with a gradient and a mask over its middle quarter."""
    y, x = np.mgrid[:size, :size] / size
    pixels = (255 * np.stack([x, y, 1 - x], axis=-1)).astype(np.uint8)
    mask = Image.new("L", (size, size))
    mask.paste(255, (size // 4, size // 4, 3 * size // 4, 3 * size // 4))
    return Image.fromarray(pixels), mask


def editor(pipe, image: Image.Image, mask: Image.Image, device: str, call: dict) -> Callable[[], float]:
    """Function that makes one edit and returns the seconds it took."""
    pipe.set_progress_bar_config(disable=True)

    def edit() -> float:
        generator = torch.Generator(device).manual_seed(0)
        begin = time.perf_counter()
        pipe("a red balloon", image, mask, generator=generator, **call)
        return time.perf_counter() - begin

    return edit


def measure(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> tuple[float, float, float]:
    """Median ratio of paired times with its interval; the first of a pair changes from round to round."""
    ours(), theirs()  # warm up
    ratios = []
    for i in range(rounds):
        first, second = (ours, theirs) if i % 2 == 0 else (theirs, ours)
        a, b = first(), second()
        ratios.append(a / b if i % 2 == 0 else b / a)
    return median(np.array(ratios))


if __name__ == "__main__":
    main()
