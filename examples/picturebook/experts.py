"""Judge the model's own answers: pairs for the aesthetic reward, masks for the coherence reward.

The model answers every case four times, each from another noise, in more steps and in fewer, with guidance and without,
as feedback learning rolls out: so the answers differ. The gold judge stands in for the paper's experts: it marks the
four, and the best and the worst become a row of D_aes; to learn from, every two that differ do, and the true picture
with each, and more cases are answered in haste, two of the four times from the true picture noised: so a thing is well
and badly drawn in the same colours. Every answer with its mask is a row of D_coh, and so is its true picture, in which
nothing is generated. What is learnt from is the train split's; the validation split is watched in training, and the
test split is PictureBench. Nothing that trains may import this file.

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
from compare import leave_together
from diffusers import AutoencoderKL
from PIL import Image

import byteedit
from byteedit.data.preferences import AESTHETIC, CANDIDATES, COHERENCE, to_pairs
from byteedit.data.shards import build_shards, to_dataset
from byteedit.evaluation import TASKS
from byteedit.evaluation.marks import TIE, marks, quality
from byteedit.evaluation.picturebench import Case, cases
from byteedit.evaluation.systems import answer
from byteedit.files import claim
from byteedit.image import to_tensor, to_uint8
from byteedit.picturebook import PAGE

COUNTS = {"train": (1440, 360, 1080), "validation": (160, 60, 160), "test": (120, 60, 60)}
"""Cases of each of `TASKS`. With other numbers scenes are others, so begin in another folder."""
ANSWERS = ((8, None, 1.0), (8, 1.0, 1.0), (5, None, 1.0), (4, 1.0, 1.0))
"""Denoising steps, guidance (None: the model's own) and strength of each answer to a case; below 1 the true picture is
noised, at 1 there is only noise."""
HASTY = COUNTS["train"]
"""Further cases of the train split, a number of each of `TASKS`, that only the aesthetic reward learns from."""
HASTY_ANSWERS = ((8, 1.0, 1.0), (4, 1.0, 1.0), (2, 1.0, 0.5), (3, 1.0, 0.67))
WAYS = {"answers": ANSWERS, "hasty": HASTY_ANSWERS}  # by the folder that they are kept in
APART = {"train": 0.25, "validation": TIE, "test": TIE}
"""Marks: the least difference of a pair."""
TOP = 5.0  # the mark of a true picture
NOISES = 2_000_000  # apart in seed


@dataclass(kw_only=True)
class Settings:
    model: str = byteedit.PICTUREBOOK
    """The pipeline whose answers are judged."""
    output: Path = Path(".runs/data")
    """Folder of answers, hasty, and of the data sets, aesthetic and coherence. A run goes on from answers there."""


Ways = Sequence[tuple[int, float | None, float]]


def make(batch: list[Case], pipe, ways: Ways) -> list[dict]:
    """Rows of `CANDIDATES` with the gold judge's marks: every case's answers."""
    return [row(case, images) for case, images in zip(batch, answers(batch, pipe, ways), strict=True)]


def answers(batch: list[Case], pipe, ways: Ways) -> list[tuple[np.ndarray, ...]]:
    """Every case's answers, one in each way, from noises of their own; pictures (H, W, 3) uint8."""
    parts = [[case] for case in batch] if batch[0].task == "outpainting" else [batch]
    made = []  # an answer to each case of the batch, once for each of the ways
    for n, (steps, guidance, strength) in enumerate(ways):
        options = {"num_inference_steps": steps, "strength": strength}
        options |= {"guidance_scale": guidance} if guidance else {}
        noised = [[replace(case, seed=case.seed + NOISES * n) for case in part] for part in parts]
        asked = noised if strength == 1 else [[over_truth(case) for case in part] for part in noised]
        made.append([image for part in asked for image in answer(pipe, part, **options)])
    return list(zip(*made, strict=True))


def over_truth(case: Case) -> Case:
    """The case with the true picture given."""
    task = "erasing" if case.task == "erasing" else "editing"
    return replace(case, task=task, source=case.truth, box=(0, 0, PAGE, PAGE), prompt=case.prompt or "")


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
        asked, worth = {name: row[name] for name in ("prompt", "candidates", "mask", "task")}, row["marks"]
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
    pixels = to_uint8(vae.decode(latents).sample)[0]
    return row | {"true": Image.fromarray(np.where(mask, pixels, picture))}


def pixels(rows) -> Iterator[dict]:
    """D_coh: every answer with its mask, and once the true picture with an empty one."""
    nothing = Image.new("L", (PAGE, PAGE))
    for row in rows:
        yield from ({"image": image, "mask": row["mask"], "task": row["task"]} for image in row["candidates"])
        yield {"image": row["image"], "mask": nothing, "task": row["task"]}


def begin(model: str) -> tuple[PartialState, byteedit.ByteEditInpaintPipeline]:
    """This process among the others, and the pipeline on its device."""
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    state = PartialState(cpu=not torch.accelerator.is_available())
    pipe = byteedit.ByteEditInpaintPipeline.from_pretrained(model).to(state.device)
    pipe.set_progress_bar_config(disable=True)
    return state, pipe


def main(settings: Settings) -> None:
    state, pipe = begin(settings.model)
    columns = CANDIDATES.features({*CANDIDATES.required, *CANDIDATES.optional}, decoded=True)
    columns["marks"] = datasets.List(datasets.Value("float32"))
    for name, ways in WAYS.items():
        with state.main_process_first():
            claim(settings.output / name, {"model": settings.model, "answers": ways, "cases": COUNTS})
    for name, split, task, some in asked():
        build_shards(
            settings.output / name / split / task,
            some,
            partial(make, pipe=pipe, ways=WAYS[name]),
            columns,
            size=4,
            process=state.process_index,
            processes=state.num_processes,
            total=len(some),
        )
    state.wait_for_everyone()
    if state.is_main_process:
        finish(settings.output, pipe.vae)


def asked() -> Iterator[tuple[str, str, str, Sequence[Case]]]:
    """What is answered: the folder of the answers, split, task, and cases."""
    for split, numbers in COUNTS.items():
        for task, number in zip(TASKS, numbers, strict=True):
            yield "answers", split, task, cases(task, split, number)
    for task, before, more in zip(TASKS, COUNTS["train"], HASTY, strict=True):
        yield "hasty", "train", task, cases(task, "train", before + more)[before:]


def finish(output: Path, vae: AutoencoderKL) -> None:
    """Both data sets from the answers, a Parquet file a split."""
    for split in COUNTS:
        rows = answered(output / "answers" / split)
        judged = rows
        if split == "train":
            every = datasets.concatenate_datasets([rows, answered(output / "hasty" / split)])
            judged = (with_true(row, vae) for row in every)
        for name, made, schema in (
            ("aesthetic", pairs(judged, split), AESTHETIC),
            ("coherence", pixels(rows), COHERENCE),
        ):
            made = list(made)
            columns = schema.features(made[0], decoded=True)
            (output / name).mkdir(exist_ok=True)
            to_dataset(made, columns).to_parquet(output / name / f"{split}.parquet")
            print(f"{output / name / f'{split}.parquet'}: {len(made)} rows")


def answered(folder: Path) -> datasets.Dataset:
    """The rows of all shards of a folder."""
    files = sorted(str(file) for file in folder.glob("*/*.parquet"))
    return datasets.load_dataset("parquet", data_files=files, split="train")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
    leave_together()
