"""Judge the model's own answers: pairs for the aesthetic reward, masks for the coherence reward.

The model answers every case four times, each from another noise, in more steps and in fewer, with guidance and without,
as feedback learning rolls out: so the answers differ. The gold judge stands in for the paper's experts: it marks the
four, and the best and the worst become a row of D_aes; to learn from, every two that differ do, and the true picture
with each. Every answer with its mask is a row of D_coh, and so is its true picture, in which nothing is generated. What
is learnt from is the train split's; the validation split is watched in training, and the test split is PictureBench.
Nothing that trains may import this file.

    torchrun --nproc-per-node 2 examples/picturebook/experts.py
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import torch
import tyro
from accelerate import PartialState
from diffusers import AutoencoderKL
from PIL import Image

import byteedit
from byteedit.data.preferences import AESTHETIC, CANDIDATES, COHERENCE, to_pairs
from byteedit.data.shards import build_shards, claim
from byteedit.evaluation.marks import TIE, marks, quality
from byteedit.evaluation.picturebench import TASKS, Case, cases
from byteedit.evaluation.systems import answer
from byteedit.image import to_tensor
from byteedit.picturebook import PAGE

COUNTS = {"train": (700, 60, 540), "validation": (40, 16, 32), "test": (120, 60, 60)}
"""Cases of each of `TASKS`. More may be asked for later: what is there already stays."""
ANSWERS = ((8, None), (8, 1.0), (5, None), (4, 1.0))
"""Denoising steps and guidance (None: the model's own) of each answer to a case."""
APART = {"train": 0.25, "validation": TIE, "test": TIE}
"""Marks: the least difference of a pair."""
TOP = 5.0  # the mark of a true picture
NOISES = 2_000_000  # apart in seed


@dataclass(kw_only=True)
class Settings:
    model: str = byteedit.PICTUREBOOK
    """The pipeline whose answers are judged."""
    output: Path = Path(".runs/data")
    """Folder of the data sets: answers, aesthetic, coherence. A run that finds answers there goes on from them."""


def make(batch: list[Case], pipe) -> list[dict]:
    """Rows of `CANDIDATES` with the gold judge's marks: every case's answers, from noises of their own."""
    parts = [[case] for case in batch] if batch[0].task == "outpainting" else [batch]
    made = []  # an answer to each case of the batch, once for each of ANSWERS
    for n, (steps, guidance) in enumerate(ANSWERS):
        options = {"num_inference_steps": steps} | ({"guidance_scale": guidance} if guidance else {})
        noised = [[replace(case, seed=case.seed + NOISES * n) for case in part] for part in parts]
        made.append([image for part in noised for image in answer(pipe, part, **options)])
    return [row(case, images) for case, images in zip(batch, zip(*made, strict=True), strict=True)]


def row(case: Case, images: Sequence[np.ndarray]) -> dict:
    return {
        "prompt": case.prompt or "",
        "candidates": [Image.fromarray(image) for image in images],
        "seeds": [case.seed + NOISES * n for n in range(len(images))],
        "image": Image.fromarray(case.picture),  # the true one
        "mask": Image.fromarray(case.mask),
        "task": case.task,
        "marks": [quality(marks(case, image)) for image in images],
    }


def pairs(rows, split: str) -> Iterator[dict]:
    """D_aes: the best and the worst of each row, unless they are worth about the same.

    To learn from and to watch, every two that differ; to learn from, also the true picture with each, worth the most.
    """
    for row in rows:
        asked, worth = {name: row[name] for name in ("prompt", "candidates", "task")}, row["marks"]
        if split == "train":
            asked["candidates"], worth = [*row["candidates"], row["true"]], [*worth, TOP]
        yield from to_pairs(asked, worth, every=split != "test", tie=APART[split], rater="gold judge")


@torch.no_grad()
def with_true(row: dict, vae: AutoencoderKL) -> dict:
    """The row with the `true` picture as an answer would show it, decoded inside the mask.

    Else a reward learns to see decoding, which sets apart every answer from every picture, and looks no further.
    """
    picture, mask = np.asarray(row["image"]), np.asarray(row["mask"])[..., None] > 0
    latents = vae.encode(to_tensor(picture[None]).to(vae.device)).latent_dist.mode()
    decoded = vae.decode(latents).sample[0].permute(1, 2, 0)  # (H, W, 3), about [-1, 1]
    pixels = (127.5 * (decoded + 1)).clamp(0, 255).round().byte().numpy(force=True)
    return row | {"true": Image.fromarray(np.where(mask, pixels, picture))}


def pixels(rows) -> Iterator[dict]:
    """D_coh: every answer with its mask, and once the true picture with an empty one."""
    nothing = Image.new("L", (PAGE, PAGE))
    for row in rows:
        yield from ({"image": image, "mask": row["mask"]} for image in row["candidates"])
        yield {"image": row["image"], "mask": nothing}


def main(settings: Settings) -> None:
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    state = PartialState(cpu=not torch.accelerator.is_available())
    pipe = byteedit.ByteEditInpaintPipeline.from_pretrained(settings.model).to(state.device)
    pipe.set_progress_bar_config(disable=True)
    with state.main_process_first():
        claim(settings.output / "answers", {"model": settings.model, "answers": ANSWERS})
    columns = CANDIDATES.features({*CANDIDATES.required, *CANDIDATES.optional}, decoded=True)
    columns["marks"] = datasets.List(datasets.Value("float32"))
    for split, numbers in COUNTS.items():
        for task, number in zip(TASKS, numbers, strict=True):
            build_shards(
                settings.output / "answers" / split / task,
                cases(task, split, number),
                partial(make, pipe=pipe),
                columns,
                size=4,
                process=state.process_index,
                processes=state.num_processes,
                total=number,
            )
    state.wait_for_everyone()
    if state.is_main_process:
        finish(settings.output, pipe.vae)


def finish(output: Path, vae: AutoencoderKL) -> None:
    """Both data sets from the answers, a Parquet file a split."""
    for split in COUNTS:
        files = sorted(str(file) for file in (output / "answers" / split).glob("*/*.parquet"))
        rows = datasets.load_dataset("parquet", data_files=files, split="train")
        judged = pairs((with_true(row, vae) for row in rows) if split == "train" else rows, split)
        for name, made, schema in (("aesthetic", judged, AESTHETIC), ("coherence", pixels(rows), COHERENCE)):
            made = list(made)
            columns = schema.features(made[0], decoded=True)
            (output / name).mkdir(exist_ok=True)
            columned = {column: [row[column] for row in made] for column in columns}
            datasets.Dataset.from_dict(columned, features=columns).to_parquet(output / name / f"{split}.parquet")
            print(f"{output / name / f'{split}.parquet'}: {len(made)} rows of {len(rows)} cases")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
