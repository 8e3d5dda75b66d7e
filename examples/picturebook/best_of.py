"""What choosing is worth: the best of four answers to each case, by a reward and by the gold judge, against the first.

Feedback learning follows its rewards, so it can hardly bring more than they see. Four answers of the checkpoint, from
four noises, are put in order by R_a, by R_b, by their sum and by the judge; what is chosen is compared with the first
of them as `compare.py` compares systems. What the judge's own choice wins is what could be won so at all.

    torchrun --nproc-per-node 2 examples/picturebook/best_of.py --record
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from accelerate import PartialState
from PIL import Image

import byteedit
from byteedit.evaluation import TASKS
from byteedit.rewards.opening import open_reward

sys.path.append(str(Path(__file__).parent))
import compare

SYSTEM = "baseline20"


@dataclass(frozen=True, kw_only=True)
class Settings:
    split: str = "validation"
    """Split of PictureBench; this is for understanding, so it is the one for choosing."""
    limit: int = 60
    """Cases of each task."""
    of: int = 4
    """Answers to each case, more than one."""
    rewards: Path = Path(byteedit.REWARDS)
    """Folder of `aesthetic` and `alignment`."""
    output: Path = Path(".runs/compare")
    """Folder of the answers, a folder a noise and split."""
    record: bool = False
    """File the figures in docs/results.json."""


def main(settings: Settings) -> None:
    torch.set_num_threads(1)
    state = PartialState(cpu=not torch.accelerator.is_available())
    names = tuple(f"{SYSTEM}-noise{n}" for n in range(settings.of))
    compare.SYSTEMS.update({name: replace(compare.SYSTEMS[SYSTEM], noise=n) for n, name in enumerate(names)})
    asked = compare.Settings(names=names, split=settings.split, limit=settings.limit, output=settings.output)
    for name in names:
        compare.run(name, asked, state)
    state.wait_for_everyone()
    answers = list(zip(*(compare.lines_of(name, asked, state) for name in names), strict=True))
    if not state.is_main_process:
        return
    chosen = {"judge": [int(np.argmax([line["quality"] for line in lines])) for lines in answers]}
    for chooser, numbers in (chosen | by_rewards(asked, settings.rewards)).items():
        best = [lines[number] for lines, number in zip(answers, numbers, strict=True)]
        compare.show(f"best_of.{chooser}", compare.beside(best, [lines[0] for lines in answers]), settings.record)


def by_rewards(asked: compare.Settings, rewards: Path) -> dict[str, list[int]]:
    """Which answer to each case R_a finds best, which R_b, and which both together."""
    every = [case for task in TASKS for case in compare.chosen(task, asked)]
    prompts = [case.prompt or "" for case in every]
    scores = {}
    for name in ("aesthetic", "alignment"):
        reward = open_reward(str(rewards / name))
        pictures = ([Image.fromarray(compare.read(answer, case, asked)) for case in every] for answer in asked.names)
        scores[name] = np.array([reward.score(list(of), prompts) for of in pictures])  # (answers, cases)
    scores["both"] = scores["aesthetic"] + scores["alignment"]
    return {name: found.argmax(axis=0).tolist() for name, found in scores.items()}


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
    compare.leave_together()
