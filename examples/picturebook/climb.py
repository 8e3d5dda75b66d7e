"""How far a reward's slope leads to better pictures: answers moved along it, and the gold judge on each leg.

Feedback learning teaches what a reward's slope shows. Here nothing is learnt: the checkpoint's own answers are moved in
the autoencoder's latents to where R_a, R_b or both find them better, a little and then further, and each is compared
with the answer as it is there unmoved, as `compare.py` compares systems. Where it wins, the slope shows what is better;
where it loses, the reward is deceived. Only cases with a prompt, since rewards are followed there.

    torchrun --nproc-per-node 2 examples/picturebook/climb.py --record
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from accelerate import PartialState
from accelerate.utils import gather_object
from diffusers import AutoencoderKL
from torch import Tensor, nn
from tqdm import tqdm

import byteedit
from byteedit.evaluation.picturebench import Case
from byteedit.image import to_tensor, to_uint8
from byteedit.rewards.opening import open_reward

sys.path.append(str(Path(__file__).parent))
import compare

SYSTEM = "baseline20"
CLIMBED = {"aesthetic": ("aesthetic",), "alignment": ("alignment",), "both": ("aesthetic", "alignment")}
TASKS = ("editing", "outpainting")  # in which things are asked for
LEGS = ((3, 4), (3, 10), (4, 20))
"""Steps, and how far from the answer they end, in hundredths: the root mean square over a picture's latents, were all
steps in line. Those latents have a standard deviation of 0.84."""
TOGETHER = 8  # answers that are moved at once


@dataclass(frozen=True, kw_only=True)
class Settings:
    split: str = "validation"
    """Split of PictureBench; this is for understanding, so it is the one for choosing."""
    limit: int = 60
    """Cases of each task."""
    rewards: Path = Path(byteedit.REWARDS)
    """Folder of `aesthetic` and `alignment`."""
    output: Path = Path(".runs/compare")
    """Folder of the answers, a folder a system and split."""
    record: bool = False
    """File the figures in docs/results.json."""


def main(settings: Settings) -> None:
    torch.set_num_threads(1)
    state = PartialState(cpu=not torch.accelerator.is_available())
    asked = compare.Settings(names=(SYSTEM,), split=settings.split, limit=settings.limit, output=settings.output)
    compare.run(SYSTEM, asked, state)
    state.wait_for_everyone()
    vae = AutoencoderKL.from_pretrained(byteedit.PICTUREBOOK, subfolder="vae", torch_dtype=torch.float32)
    vae = vae.to(state.device).requires_grad_(False).eval()
    cases = [case for task in TASKS for case in compare.chosen(task, asked) if case.prompt]
    with state.split_between_processes(list(range(len(cases)))) as numbers:
        mine = [cases[number] for number in numbers]
    begun = [compare.read(SYSTEM, case, asked) for case in mine]
    for name, parts in CLIMBED.items():
        rewards = [open_reward(str(settings.rewards / part)).to(state.device) for part in parts]
        legs = zip(*moved(mine, begun, vae, [reward.requires_grad_(False).eval() for reward in rewards]), strict=True)
        before, *after = (gather_object(judged(mine, images)) for images in legs)
        if state.is_main_process:
            for (_, far), lines in zip(LEGS, after, strict=True):
                compare.show(f"climb.{name}_by_{far:02}", compare.beside(lines, before), settings.record)


def judged(cases: list[Case], images: list[np.ndarray]) -> list[dict]:
    return [compare.line(case, image) for case, image in zip(cases, tqdm(images, "judged"), strict=True)]


def moved(
    cases: list[Case], begun: list[np.ndarray], vae: AutoencoderKL, rewards: list[nn.Module]
) -> list[list[np.ndarray]]:
    """Each case's answer (H, W, 3) unmoved, and as it is after each of `LEGS`."""
    found = []
    for first in tqdm(range(0, len(cases), TOGETHER), "moved"):
        some = slice(first, first + TOGETHER)
        masks = np.stack([case.mask for case in cases[some]]) > 127
        prompts = [case.prompt for case in cases[some]]
        found += list(zip(*climb(np.stack(begun[some]), masks, prompts, vae, rewards), strict=True))
    return found


def climb(
    images: np.ndarray, masks: np.ndarray, prompts: list[str], vae: AutoencoderKL, rewards: list[nn.Module]
) -> list[np.ndarray]:
    """Pictures moved up the rewards' slope: decoded unmoved, and after each of `LEGS`; what no mask covers stays.

    images (B, H, W, 3) uint8, masks (B, H, W) bool -> (B, H, W, 3) uint8 each.
    """
    given, inside = to_tensor(images).to(vae.device), torch.from_numpy(masks)[:, None].to(vae.device)
    with torch.no_grad():
        latents = vae.encode(given).latent_dist.mode()

    def show(latents: Tensor) -> Tensor:
        return torch.where(inside, vae.decode(latents).sample, given)

    @torch.no_grad()
    def pixels(latents: Tensor) -> np.ndarray:
        return to_uint8(show(latents))

    found, there = [pixels(latents)], 0
    for steps, far in LEGS:
        for _ in range(steps):
            latents.requires_grad_()
            score = sum(reward.rate(show(latents), prompts).sum() for reward in rewards)
            [slope] = torch.autograd.grad(score, latents)
            size = slope.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
            latents = latents.detach() + (far - there) / 100 / steps * slope / size
        there = far
        found.append(pixels(latents))
    return found


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
    compare.leave_together()
