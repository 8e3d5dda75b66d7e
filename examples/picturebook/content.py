"""Rows of D_coh in which only what is shown tells: what the discriminator of the acceleration begins with.

Pictures that a decoder made are told from others by its traces, and nothing that the UNet learns could take them away.
So here the true picture is decoded inside the mask, too, as often as there is an answer. What is left to see are
things out of shape, soft edges and backgrounds that do not go on. The checkpoint answers without guidance in 8 and 4
steps, with it in 8, and from the true picture noised in 3. Pages are the train split's; nothing is judged.

    torchrun --nproc-per-node 2 examples/picturebook/content.py
    torchrun --nproc-per-node 2 examples/train_reward.py examples/configs/picturebook/discriminator.yaml
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro
from compare import leave_together
from experts import answered, answers, begin, with_true
from PIL import Image

import byteedit
from byteedit.data.preferences import COHERENCE
from byteedit.data.shards import build_shards
from byteedit.evaluation import TASKS
from byteedit.evaluation.picturebench import Case, cases
from byteedit.files import claim
from byteedit.picturebook import PAGE

COUNTS = {"train": (720, 120, 480), "validation": (36, 6, 24)}
"""Cases of each of `TASKS`."""
ANSWERS = ((8, 1.0, 1.0), (4, 1.0, 1.0), (8, None, 1.0), (3, 1.0, 0.67))
"""Denoising steps, guidance and strength of each answer to a case, as in `experts`."""
TOGETHER = 8  # cases that are answered at once


@dataclass(kw_only=True)
class Settings:
    model: str = byteedit.PICTUREBOOK
    """The pipeline that answers."""
    output: Path = Path(".runs/data/content")
    """Folder of the rows: a Parquet file a split. A run goes on from answers there."""


def make(batch: list[Case], pipe) -> list[dict]:
    """An answer with its mask and the true picture with an empty one, for each answer to each case."""
    nothing, rows = Image.new("L", (PAGE, PAGE)), []
    for case, images in zip(batch, answers(batch, pipe, ANSWERS), strict=True):
        picture, mask = Image.fromarray(case.picture), Image.fromarray(case.mask)
        true = with_true({"image": picture, "mask": mask}, pipe.vae)["true"]
        for image in images:
            rows += [{"image": Image.fromarray(image), "mask": mask}, {"image": true, "mask": nothing}]
    return rows


def main(settings: Settings) -> None:
    state, pipe = begin(settings.model)
    with state.main_process_first():
        claim(settings.output / "shards", {"model": settings.model, "answers": ANSWERS})
    columns = COHERENCE.features(COHERENCE.required, decoded=True)
    for split, numbers in COUNTS.items():
        for task, number in zip(TASKS, numbers, strict=True):
            build_shards(
                settings.output / "shards" / split / task,
                cases(task, split, number),
                partial(make, pipe=pipe),
                columns,
                size=TOGETHER,
                process=state.process_index,
                processes=state.num_processes,
                total=number,
            )
    state.wait_for_everyone()
    if state.is_main_process:
        for split in COUNTS:
            rows = answered(settings.output / "shards" / split)
            rows.to_parquet(settings.output / f"{split}.parquet")
            print(f"{settings.output / f'{split}.parquet'}: {len(rows)} rows")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
    leave_together()
