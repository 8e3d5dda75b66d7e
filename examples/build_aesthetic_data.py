"""Make what judges need for D_aes: prompts worth a picture, and four candidates for each.

Prompts in; links, flags, duplicates and mere decoration out; of the rest those that lie far from their neighbours, by
K-means on their embeddings (ByteEdit, section on D_aes). Then pictures by any text-to-image or inpainting pipeline of
diffusers, blank ones out. Prompts for inpainting come with `image` and `mask` columns. A run that was killed goes on
where it was; several processes share the work:

    python examples/build_aesthetic_data.py --prompts prompts.txt --output .runs/aesthetic
    torchrun --nproc-per-node 8 examples/build_aesthetic_data.py --prompts prompts.txt --output .runs/aesthetic
"""

import hashlib
import inspect
import io
import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Literal

import datasets
import numpy as np
import torch
import tyro
from accelerate import PartialState
from diffusers import DiffusionPipeline
from PIL import Image
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer

from byteedit.data.images import is_blank
from byteedit.data.preferences import CANDIDATES, TEXT, Schema, Skipped, Unusable, decode, load
from byteedit.data.prompts import far_points, is_decoration, key, tidy
from byteedit.data.shards import build_shards
from byteedit.files import claim, write_atomically
from byteedit.image import levels
from byteedit.pipeline.opening import locate_model

PART = 65_536  # prompts whose embeddings are written at once, which is what a kill may cost


@dataclass(kw_only=True)
class Settings:
    prompts: str
    """A text file with a prompt on each line, or a data set: Parquet, JSONL, a folder of them, or a hub id."""
    output: Path = Path(".runs/aesthetic")
    """Folder of the candidates. A run that finds shards there goes on from them."""
    column: str = "prompt"
    """The data set's column of prompts."""
    split: str = "train"
    """The data set's split."""
    models: tuple[str, ...] = ("stable-diffusion-v1-5/stable-diffusion-v1-5",)
    """Folders or hub ids of diffusers pipelines, which take turns; "picturebook" is the model that ships."""
    candidates: int = 4
    """Pictures for each prompt, four in the paper."""
    encoder: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Folder or hub id of the text encoder, one whose AutoModel takes text alone; its last states are averaged."""
    share: float = 0.27
    """Share of the prompts to keep, 400 k of 1.5 M in the paper; 1 keeps all, and needs no encoder."""
    clusters: int = 1000
    """Clusters of K-means."""
    neighbours: int = 10
    """Neighbours to which the mean distance is taken."""
    steps: int | None = None
    """Denoising steps; without, the pipeline's default."""
    guidance_scale: float | None = None
    """Guidance; without, the pipeline's default."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Precision of the pipelines."""
    seed: int = 0
    """First seed. Candidate k of the n-th prompt has the seed `seed + candidates * n + k`."""
    shard: int = 32
    """Prompts in a shard, which is what a kill may cost."""


def read_prompts(settings: Settings, skipped: Skipped) -> tuple[list[str], Iterable | None]:
    """The prompts, tidied, and the rows that they come with where the source is a data set."""
    if settings.prompts.endswith(".txt"):
        return [tidy(line) for line in Path(settings.prompts).read_text().splitlines()], None
    schema = Schema({settings.column: TEXT}, CANDIDATES.optional)
    rows = load(settings.prompts, schema, skipped, split=settings.split)
    return [tidy(prompt or "") for prompt in rows[settings.column]], rows


def choose(settings: Settings, prompts: list[str], rows: Iterable | None, device: torch.device) -> list[int]:
    """The numbers of the prompts that get pictures; kept in `chosen.json`, so that they are chosen once."""
    path = settings.output / "chosen.json"
    if not path.exists():
        numbers = find_distinct(prompts, rows)
        if settings.share < 1:
            parts = settings.output / "embeddings"
            embeddings = embed_in_parts([prompts[number] for number in numbers], settings.encoder, device, parts)
            clusters = {"clusters": settings.clusters, "neighbours": settings.neighbours, "seed": settings.seed}
            numbers = [numbers[place] for place in far_points(embeddings, settings.share, **clusters)]
        write_atomically(path, json.dumps([(number, prompts[number]) for number in numbers]).encode())
        shutil.rmtree(settings.output / "embeddings", ignore_errors=True)
    chosen = json.loads(path.read_text())
    if any(prompts[number : number + 1] != [prompt] for number, prompt in chosen):
        raise ValueError(f"{settings.prompts} has changed since {settings.output} was begun; take another output.")
    print(f"{len(chosen)} of {len(prompts)} prompts are chosen")
    return [number for number, _ in chosen]


def find_distinct(prompts: list[str], rows: Iterable | None) -> list[int]:
    """Numbers of the prompts that are no decoration, each once; once for each picture where they come with pictures.

    Prompts without words are left out too, unless they come with a picture: there they ask for a background.
    """
    first = {}
    pictures = map(identify, rows) if rows is not None and "image" in rows.column_names else [None] * len(prompts)
    for number, (prompt, picture) in enumerate(zip(prompts, pictures, strict=True)):
        if not is_decoration(prompt) or (picture is not None and not key(prompt)):
            first.setdefault((key(prompt), picture), number)
    return list(first.values())


def identify(row: dict) -> tuple | None:
    """What tells a row's picture and mask from others, without keeping them."""
    images = [row[name] for name in ("image", "mask") if row.get(name) is not None]
    told = (image["path"] if image["bytes"] is None else hashlib.sha256(image["bytes"]).hexdigest() for image in images)
    return tuple(told) or None


def embed_in_parts(prompts: list[str], encoder: str, device: torch.device, folder: Path) -> np.ndarray:  # (N, D)
    """As `embed`, in parts that are written to `folder`, each under a name that follows from its prompts."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for first in range(0, len(prompts), PART):
        part = prompts[first : first + PART]
        path = folder / f"{hashlib.sha256(json.dumps(part).encode()).hexdigest()}.npy"
        if not path.exists():
            content = io.BytesIO()
            np.save(content, embed(part, encoder, device))
            write_atomically(path, content.getvalue())
        found.append(np.load(path))
    return np.concatenate(found)


@torch.no_grad()
def embed(prompts: list[str], encoder: str, device: torch.device, batch_size: int = 256) -> np.ndarray:  # (N, D)
    """Embeddings of unit length: the mean of the encoder's last states."""
    tokenizer, model = open_encoder(encoder, device)
    length = min(128, model.config.max_position_embeddings - 2)  # some count positions from 2
    found = []
    for first in tqdm(range(0, len(prompts), batch_size), desc="embedding", unit="batch"):
        part = prompts[first : first + batch_size]
        tokens = tokenizer(part, padding=True, truncation=True, max_length=length, return_tensors="pt").to(device)
        states = model(**tokens).last_hidden_state  # (B, L, D)
        mask = tokens.attention_mask[..., None]
        found.append(torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1).float().cpu())
    return torch.cat(found).numpy()


def open_encoder(encoder: str, device: torch.device) -> tuple:
    """Tokenizer and model of the text encoder."""
    return AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval().to(device)


def load_pipeline(model: str, settings: Settings, device: torch.device) -> DiffusionPipeline:
    """A pipeline of whatever kind its folder says, without a bar of its own."""
    model = locate_model(model)
    pipe = DiffusionPipeline.from_pretrained(model, dtype=getattr(torch, settings.dtype), use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def take_masks(pipes: list) -> bool:
    """Whether pipelines are for inpainting."""
    return any("mask_image" in inspect.signature(pipe.__call__).parameters for pipe in pipes)


def check(settings: Settings, pipes: list, rows: Iterable | None, device: torch.device) -> None:
    """Raise what would stop the run later, so that no folder is claimed by settings that cannot work.

    Raises:
        ValueError: the share is none, or there are no pictures to inpaint.
        OSError: there is no such encoder.
    """
    if not 0 < settings.share <= 1:
        raise ValueError(f"share is {settings.share}; it must be above 0 and at most 1.")
    missing = {"image", "mask"} - set([] if rows is None else rows.column_names)
    if missing and take_masks(pipes):
        lacking = " and no ".join(sorted(missing))
        raise ValueError(
            f"{', '.join(settings.models)} inpaint, but {settings.prompts} has no column {lacking}; name text-to-image"
            " pipelines, or a data set of prompts with pictures and masks."
        )
    if settings.share < 1 and not (settings.output / "chosen.json").exists():
        open_encoder(settings.encoder, device)


def make_candidates(pipes: list, prompt: str, picture: dict, first: int, settings: Settings) -> dict | None:
    """The row of one prompt, blank pictures left out; None where fewer than two are left."""
    given = {"num_inference_steps": settings.steps, "guidance_scale": settings.guidance_scale}
    given |= {"image": picture.get("image"), "mask_image": picture.get("mask")}
    given = {name: value for name, value in given.items() if value is not None}
    made = {}
    for turn, pipe in enumerate(pipes):
        seeds = list(range(first, first + settings.candidates))[turn :: len(pipes)]
        if not seeds:
            break
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        pictures = pipe(
            prompt=prompt, num_images_per_prompt=len(seeds), generator=generators, output_type="np", **given
        ).images  # (n, H, W, 3) in [0, 1]
        made |= {seed: pixels for seed, pixels in zip(seeds, pictures, strict=True) if not is_blank(pixels)}
    if len(made) < 2:
        return None
    images = [Image.fromarray(levels(made[seed])) for seed in sorted(made)]
    return {"prompt": prompt, "candidates": images, "seeds": sorted(made), **picture}


def make_rows(items: list, pipes: list, rows, settings: Settings, skipped: Skipped) -> list[dict]:
    """The rows of a shard; `items` are (place, number, prompt), the place counted among the chosen prompts."""
    made, inpaint = [], take_masks(pipes)
    for place, number, prompt in items:
        try:
            row = (
                {} if rows is None else decode(rows[number], Schema({}, CANDIDATES.optional | {settings.column: TEXT}))
            )
        except Unusable as reason:
            skipped.add(str(reason))
            continue
        picture = {name: value for name, value in row.items() if name in CANDIDATES.optional}
        if missing := [name for name in ("image", "mask") if inpaint and name in row and row[name] is None]:
            skipped.add(f"missing {missing[0]}")
            continue
        candidates = make_candidates(pipes, prompt, picture, settings.seed + settings.candidates * place, settings)
        if candidates is None:
            skipped.add("fewer than two candidates")
        else:
            made.append(candidates)
    return made


def main(settings: Settings) -> None:
    datasets.disable_progress_bars()  # one for each shard
    state = PartialState(cpu=not torch.accelerator.is_available(), timeout=timedelta(hours=12))  # while one chooses
    skipped = Skipped()
    with state.main_process_first():
        prompts, rows = read_prompts(settings, skipped)
        pipes = [load_pipeline(model, settings, state.device) for model in settings.models]
        check(settings, pipes, rows, state.device)
        claim(settings.output, {name: value for name, value in asdict(settings).items() if name != "output"})
        numbers = choose(settings, prompts, rows, state.device)
    carried = [] if rows is None else rows.column_names
    build_shards(
        settings.output,
        [(place, number, prompts[number]) for place, number in enumerate(numbers)],
        partial(make_rows, pipes=pipes, rows=rows, settings=settings, skipped=skipped),
        CANDIDATES.features({*CANDIDATES.required, *carried}, decoded=True),
        size=settings.shard,
        process=state.process_index,
        processes=state.num_processes,
        total=len(numbers),
    )
    print(f"candidates are in {settings.output}; in this run {skipped}")


if __name__ == "__main__":
    main(tyro.cli(Settings))
