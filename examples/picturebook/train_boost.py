"""Boost the shipped checkpoint on the shipped rewards, while the gold judge watches pictures that nothing learns from.

This is `examples/train_pefl.py` with a judge: the rewards' scores must rise, and the validation split's marks tell
whether the pictures become better. The weights that are kept are those with the best marks. Where the scores go on
rising and the marks do not, the rewards are being cheated; log.jsonl holds both.

    torchrun --nproc-per-node 2 examples/picturebook/train_boost.py examples/configs/picturebook/boost.yaml
"""

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object

from byteedit.evaluation import TASKS
from byteedit.evaluation.picturebench import cases
from byteedit.evaluation.scores.picturebench import judged
from byteedit.evaluation.systems import answers
from byteedit.training.boost import PeflSettings
from byteedit.training.run import train_pefl
from byteedit.training.settings import from_command_line

WATCHED = {"editing": 20, "erasing": 6, "outpainting": 20}  # cases of the validation split
STEPS = 8  # of their answers


def judge(pipe) -> dict[str, float]:
    """`gold`, the mean quality of the watched cases, `right`, how many are as asked; each process answers its share."""
    state = PartialState(cpu=not torch.accelerator.is_available())
    worth, right = [], []
    for task in TASKS:
        mine = cases(task, "validation")[: WATCHED[task]][state.process_index :: state.num_processes]
        for case, image in zip(mine, answers(pipe, mine, num_inference_steps=STEPS), strict=True):
            found = judged(case, image)
            worth.append(found["quality"])
            right += [found["right"]] if case.target else []
    return {"gold": float(np.mean(gather_object(worth))), "right": float(np.mean(gather_object(right)))}


if __name__ == "__main__":
    torch.set_num_threads(1)
    train_pefl(from_command_line(PeflSettings, __doc__), judge)
