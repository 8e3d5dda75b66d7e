"""Judge the model's own answers: pairs for the aesthetic reward, masks for the coherence reward.

The model answers every case four times, each time from another noise. The gold judge stands in for the paper's
experts: it marks the four, and the best and the worst become a row of D_aes. Every answer with its mask is a row of
D_coh, and so is its true picture, in which nothing is generated. What is learnt from is the train split's; the
validation split is watched in training, and the test split is PictureBench. Nothing that trains may import this file.

    torchrun --nproc-per-node 2 examples/picturebook/experts.py
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import datasets
import torch
import tyro
from accelerate import PartialState
from PIL import Image

import byteedit
from byteedit.data.preferences import AESTHETIC, CANDIDATES, COHERENCE, to_pairs
from byteedit.data.shards import build_shards, claim
from byteedit.evaluation.marks import TIE, marks, quality
from byteedit.evaluation.picturebench import TASKS, Case, cases
from byteedit.evaluation.systems import answer
from byteedit.picturebook import PAGE

COUNTS = {"train": (480, 240, 240), "validation": (72, 36, 36), "test": (120, 60, 60)}
"""Cases of each of `TASKS`."""
ANSWERS = 4
NOISES = 2_000_000  # apart in seed


@dataclass(kw_only=True)
class Settings:
    model: str = byteedit.PICTUREBOOK
    """The pipeline whose answers are judged."""
    output: Path = Path(".runs/data")
    """Folder of the data sets: answers, aesthetic, coherence. A run that finds answers there goes on from them."""
    steps: int = 20
    """Denoising steps."""


def chosen(split: str) -> list[Case]:
    """The cases of a split, the three tasks one after the other."""
    return [case for task, number in zip(TASKS, COUNTS[split], strict=True) for case in cases(task, split)[:number]]


def make(batch: list[Case], pipe, steps: int) -> list[dict]:
    """Rows of `CANDIDATES` with the gold judge's marks: every case's answers, from noises of their own."""
    rows = []
    for case in batch:
        noises = [replace(case, seed=case.seed + NOISES * n) for n in range(ANSWERS)]
        many = [noises] if case.task != "outpainting" else [[one] for one in noises]
        made = [image for some in many for image in answer(pipe, some, num_inference_steps=steps)]
        rows.append(
            {
                "prompt": case.prompt or "",
                "candidates": [Image.fromarray(image) for image in made],
                "seeds": [noise.seed for noise in noises],
                "image": Image.fromarray(case.picture),  # the true one
                "mask": Image.fromarray(case.mask),
                "task": case.task,
                "marks": [quality(marks(case, image)) for image in made],
            }
        )
    return rows


def pairs(rows) -> Iterator[dict]:
    """D_aes: the best and the worst of each row, unless they are worth about the same."""
    for row in rows:
        if max(row["marks"]) - min(row["marks"]) >= TIE:
            asked = {name: row[name] for name in ("prompt", "candidates", "task")}
            yield from to_pairs(asked, row["marks"], rater="gold judge")


def pixels(rows) -> Iterator[dict]:
    """D_coh: every answer with its mask, and once the true picture with an empty one."""
    nothing = Image.new("L", (PAGE, PAGE))
    for row in rows:
        yield from ({"image": image, "mask": row["mask"]} for image in row["candidates"])
        yield {"image": row["image"], "mask": nothing}


def main(settings: Settings) -> None:
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    state = PartialState()
    pipe = byteedit.ByteEditInpaintPipeline.from_pretrained(settings.model).to(state.device)
    pipe.set_progress_bar_config(disable=True)
    with state.main_process_first():
        claim(settings.output / "answers", {"model": settings.model, "steps": settings.steps, "counts": COUNTS})
    columns = CANDIDATES.features({*CANDIDATES.required, *CANDIDATES.optional}, decoded=True)
    columns["marks"] = datasets.List(datasets.Value("float32"))
    for split in COUNTS:
        todo = chosen(split)
        build_shards(
            settings.output / "answers" / split,
            todo,
            partial(make, pipe=pipe, steps=settings.steps),
            columns,
            size=4,
            process=state.process_index,
            processes=state.num_processes,
            total=len(todo),
        )
    state.wait_for_everyone()
    if state.is_main_process:
        finish(settings.output)


def finish(output: Path) -> None:
    """Both data sets from the answers, a Parquet file a split."""
    for split in COUNTS:
        files = sorted(str(file) for file in (output / "answers" / split).glob("*.parquet"))
        rows = datasets.load_dataset("parquet", data_files=files, split="train")
        for name, make_rows, schema in (("aesthetic", pairs, AESTHETIC), ("coherence", pixels, COHERENCE)):
            made = list(make_rows(rows))
            columns = schema.features(made[0], decoded=True)
            (output / name).mkdir(exist_ok=True)
            columned = {column: [row[column] for row in made] for column in columns}
            datasets.Dataset.from_dict(columned, features=columns).to_parquet(output / name / f"{split}.parquet")
            print(f"{output / name / f'{split}.parquet'}: {len(made)} rows of {len(rows)} cases")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
