"""What a step of feedback learning costs beside ReFL's as published, on the same model, in alternation.

    python benchmarks/feedback_step.py --rounds 12 --record

Seconds of processor time for each picture, at one thread, forward and backward; and the peak memory of a step whose
decode and rewards are differentiated picture by picture beside one that does all at once. Ours: phase 1 (T, T1, T2 =
20, 15, 10), two rewards, L_reg and L_vgg. ReFL (arXiv 2304.05977, written from its description): 40 steps from noise,
one of the last ten drawn, so 34.5 on average without gradient and one with; no guidance, a full decode, one reward.
"""

import argparse
import ctypes
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler

import byteedit
from byteedit.diffusion import decode, encode, encode_image, predict, rollout, x0_of
from byteedit.rewards import PreferenceReward, PreferenceRewardConfig
from byteedit.training.base import encode_text
from byteedit.training.losses import reward_loss
from byteedit.training.pefl import Feedback, FeedbackSettings
from results import filing

REFL_STEPS, REFL_LAST = 40, 10  # of a rollout; those from which one gets the gradient
TOWER = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4}


class Bench:
    """The shipped pipeline with a reward of the picturebook's size, and a batch."""

    def __init__(self, batch: int):
        torch.manual_seed(0)
        self.pipe = byteedit.ByteEditInpaintPipeline.from_pretrained(byteedit.PICTUREBOOK)
        self.pipe.vae.requires_grad_(False)
        self.unet = self.pipe.unet
        self.scheduler = DDIMScheduler.from_config(self.pipe.scheduler.config)
        tokenizer = self.pipe.tokenizer
        ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
        ids |= {"bos_token_id": None, "sep_token_id": None, "max_position_embeddings": 24}
        config = PreferenceRewardConfig(
            vision_config={**TOWER, "image_size": 128, "patch_size": 16}, text_config={**TOWER, **ids}, max_length=24
        )
        self.reward = PreferenceReward(config, tokenizer).eval().requires_grad_(False)
        self.batch = a_batch(batch, self.unet.config.sample_size, self.pipe.vae_scale_factor)

    def ours(self, points: int = 1, part: int = 1) -> Callable[[], None]:
        """A step of ours, forward and backward."""
        settings = FeedbackSettings(output=Path("."), steps=1, batch_size=1, lr=1e-4, points=points, part=part)
        rewards = {"aesthetic": (self.reward.rate, 1.0), "alignment": (self.reward.rate, 1.0)}
        features, text = self.reward.features, partial(encode_text, self.pipe)
        feedback = Feedback(self.unet, self.pipe.vae, text, self.scheduler, rewards, settings, features)
        return lambda: feedback.loss(self.unet, self.batch)["loss"].backward()

    def refl(self, last: int) -> None:
        """A step of ReFL's, as `refl_step`."""
        refl_step(self.pipe, self.scheduler, self.reward, self.batch, last)


def a_batch(size: int, latents: int, scale: int, device: str = "cpu") -> dict:
    """`size` rows of noise of `latents` by `latents` elements, each of `scale` pixels, a quarter of them masked."""
    pixels = latents * scale
    mask = torch.zeros(size, 1, pixels, pixels, device=device)
    mask[:, :, pixels // 4 : pixels * 3 // 4, pixels // 4 : pixels * 3 // 4] = 1
    return {
        "image": torch.rand(size, 3, pixels, pixels, device=device) * 2 - 1,
        "mask": mask,
        "prompt": ["a small red balloon"] * size,
        "noise": torch.randn(size, 4, latents, latents, device=device),
    }


def refl_step(pipe, scheduler, reward, batch: dict, last: int) -> None:
    """One step of ReFL that takes 30 + `last` steps without gradient, forward and backward."""
    with torch.no_grad():
        masked = encode_image(pipe.vae, batch["image"] * (1 - batch["mask"]))
        text = encode_text(pipe, batch["prompt"])
    condition = encode(pipe.vae, batch["image"], batch["mask"], text, masked_latents=masked)
    scheduler.set_timesteps(REFL_STEPS, device=pipe.unet.device)
    timesteps = scheduler.timesteps
    until = REFL_STEPS - REFL_LAST + last  # how many steps come before the one with the gradient
    with torch.no_grad():
        latents = rollout(pipe.unet, scheduler, condition, batch["noise"], timesteps[:until])
    output = predict(pipe.unet, scheduler, latents, timesteps[until], condition)
    edited = decode(pipe.vae, x0_of(scheduler, output, timesteps[until], latents))
    reward_loss(reward.rate(edited, batch["prompt"]), "hinge").backward()


def seconds(step: Callable[[], None], unet) -> float:
    """Processor time of one step."""
    unet.zero_grad()
    begin = time.process_time()
    step()
    return time.process_time() - begin


def compare(bench: Bench, points: int, rounds: int) -> tuple[float, float, float]:
    """ReFL's time for a gradient point over ours, with a bootstrap interval of 95 % over pairs."""
    lasts = cycle(range(REFL_LAST))  # in turn, so that a multiple of ten rounds is 34.5 steps on average
    ours, theirs = bench.ours(points), lambda: bench.refl(next(lasts))
    seconds(ours, bench.unet), seconds(theirs, bench.unet)  # warm up
    pairs = []
    for turn in range(rounds):
        first, second = (ours, theirs) if turn % 2 else (theirs, ours)
        a, b = seconds(first, bench.unet), seconds(second, bench.unet)
        pairs.append((b, a) if turn % 2 else (a, b))  # theirs, ours
    theirs, ours = np.array(pairs).T
    drawn = np.random.default_rng(0).integers(rounds, size=(2000, rounds))
    ratios = points * theirs[drawn].sum(1) / ours[drawn].sum(1)
    return points * theirs.sum() / ours.sum(), *np.quantile(ratios, [0.025, 0.975])


def peak(part: int, batch: int, answer) -> None:
    """How many bytes a step takes at most beyond what is held before it; in a process of its own."""
    torch.set_num_threads(1)
    bench = Bench(batch)
    step = bench.ours(part=part)
    bench.refl(0)  # all code is loaded, all gradients are there
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free goes back to the system, or it would hide what is taken
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak
    before = resident("VmRSS")
    step()
    answer.put(resident("VmHWM") - before)


def resident(name: str) -> int:
    """Bytes of the process's memory: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def peaks(batch: int) -> float:
    """The peak picture by picture over that of all at once."""
    context = get_context("spawn")
    found = []
    for part in (1, 0):
        answer = context.Queue()
        process = context.Process(target=peak, args=(part, batch, answer))
        process.start()
        found.append(answer.get())
        process.join()
        print(f"peak of a step with {'one picture' if part else f'{batch} pictures'} at once: {found[-1] / 1e6:.0f} MB")
    return found[0] / found[1]


def main() -> None:
    """Measure, print and, if asked, record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="pairs of steps; a multiple of 10 is fair to ReFL")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--record", action="store_true", help="keep the figures in docs/results.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(options.batch)
    command = f"python benchmarks/feedback_step.py --rounds {options.rounds} --batch {options.batch} --record"
    file = filing(options.record, command)
    for points, name in ((1, "phase1"), (2, "phase1_two_points")):
        file(f"bench.feedback_step.refl_over_ours.{name}", *compare(bench, points, options.rounds), options.rounds)
    ratio = peaks(options.batch)
    file("bench.feedback_step.backward_peak_ratio", ratio, ratio, ratio, 1)


if __name__ == "__main__":
    main()
