"""What edits and steps of feedback learning take on a GPU, with Stable Diffusion 1.5's inpainting architecture.

    python benchmarks/sd15_gpu.py --record

Full sizes, random weights, 512 px. Edits: float16, one picture, in diffusers' 50 steps and the paper's 20 with
guidance, in 8 and 4 without, in alternation: the median, and the ratio to 20 with guidance. Feedback learning: bf16,
a LoRA, two rewards of ImageReward's architecture; our step (20, 15, 10 steps, L_reg and VGG16) beside ReFL's as
published, in alternation. Seconds are the wall's, memory is the most that CUDA held. `--tiny` tries the script out.
"""

import argparse
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from byteedit.training.base import to_device
from byteedit.training.boost import PeflSettings
from byteedit.training.loop import begin
from edit import editor, scene
from feedback_step import REFL_LAST, a_batch, refl_step
from results import filing, median
from sd15_step import SD15, TINY, build, prepare, settings_for

EDITS = {"50cfg": (50, 7.5), "20cfg": (20, 7.5), "8": (8, 1.0), "4": (4, 1.0)}  # steps and guidance


def timed(call: Callable[[], None], device: str) -> tuple[float, float]:
    """Wall seconds of a call, and the most memory that it held, in GB."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began, torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0


def edits(sizes: dict, size: int, rounds: int, device: str, file: Callable[..., None]) -> None:
    """Time and memory of each kind of edit."""
    with torch.device(device):
        pipe = build(sizes)
    pipe = pipe.to(device, torch.float16 if device == "cuda" else torch.float32)
    picture = scene(size)
    kinds = {
        name: editor(pipe, *picture, device, {"num_inference_steps": steps, "guidance_scale": guidance})
        for name, (steps, guidance) in EDITS.items()
    }
    found = [{name: timed(edit, device) for name, edit in kinds.items()} for _ in range(rounds + 1)][1:]
    times = {name: np.array([each[name][0] for each in found]) for name in kinds}
    for name, seconds in times.items():
        file(f"bench.sd15_gpu.edit_ms.{name}", *median(1000 * seconds), rounds)
    for name in ("8", "4"):
        file(f"bench.sd15_gpu.edit_20cfg_over_{name}", *median(times["20cfg"] / times[name]), rounds)
    peak = max(each["20cfg"][1] for each in found)
    file("bench.sd15_gpu.edit_peak_gb", peak, peak, peak, rounds)


def learning(sizes: dict, settings: PeflSettings, rounds: int, device: str, file: Callable[..., None]) -> None:
    """Time and memory of a step of ours and of ReFL's."""
    with torch.device(device):
        pipe, feedback = prepare(sizes, settings)
    accelerator = begin(settings)
    to_device(pipe.to(device), accelerator)
    pipe.unet.train()
    rewards = [rate.__self__ for rate, _ in feedback.rewards.values()]
    scale = pipe.vae_scale_factor
    batch, lasts = a_batch(settings.batch_size, settings.size // scale, scale, device), cycle(range(REFL_LAST))
    steps = {
        "ours": lambda: feedback.loss(pipe.unet, batch)["loss"].backward(),
        "refl": lambda: refl_step(pipe, feedback.scheduler, rewards[0], batch, next(lasts)),
    }
    found = []
    for turn in range(rounds + 1):
        names = list(steps) if turn % 2 else list(steps)[::-1]
        with accelerator.autocast():
            each = {name: timed(steps[name], device) for name in names}
        pipe.unet.zero_grad()
        found += [each] if turn else []
    times = {name: np.array([each[name][0] for each in found]) for name in steps}
    for name, seconds in times.items():
        file(f"bench.sd15_gpu.step_s.{name}", *median(seconds), rounds)
        peak = max(each[name][1] for each in found)
        file(f"bench.sd15_gpu.step_peak_gb.{name}", peak, peak, peak, rounds)
    drawn = np.random.default_rng(0).integers(rounds, size=(2000, rounds))
    ratios = times["refl"][drawn].sum(1) / times["ours"][drawn].sum(1)
    ratio = times["refl"].sum() / times["ours"].sum()
    file("bench.sd15_gpu.refl_over_ours", ratio, *np.quantile(ratios, [0.025, 0.975]), rounds)


def main() -> None:
    """Measure, print and, if asked, record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=512, help="height and width of the pictures, in pixels")
    parser.add_argument("--batch", type=int, default=4, help="pictures in a step of feedback learning")
    parser.add_argument("--rounds", type=int, default=10, help="of each kind; a multiple of 10 is fair to ReFL")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small models, to try this script")
    parser.add_argument("--record", action="store_true", help="keep the figures in docs/results.json")
    options = parser.parse_args()
    if options.record and (options.tiny or options.device != "cuda"):
        parser.error("only full sizes on a GPU are filed; leave --tiny and --device out.")
    sizes = TINY if options.tiny else SD15
    if options.device == "cuda":
        print(torch.cuda.get_device_name())
    file = filing(options.record, "python benchmarks/sd15_gpu.py --record")
    edits(sizes, options.size, options.rounds, options.device, file)
    with TemporaryDirectory() as output:
        precision = "bf16" if options.device == "cuda" else "no"
        settings = settings_for(Path(output), options.size, options.batch, rank=16, mixed_precision=precision)
        learning(sizes, settings, options.rounds, options.device, file)


if __name__ == "__main__":
    main()
