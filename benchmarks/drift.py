"""Ten edits of a picture in a row: how far does what nobody asked to change drift meanwhile?

Three ways to go on from one edit to the next: its pixels, pasted into the picture as our pipeline does; its pixels as
they are decoded; its latents, decoded for looking only, as EMILIE. Prints and files the mean difference in levels from
the picture outside all masks so far, after 1 and 10 edits, over scenes of PictureBench's split.

    python benchmarks/drift.py --record
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
import tyro

import byteedit
from byteedit.evaluation.figures import mean
from byteedit.evaluation.systems.chain import Edit, chain_latents, chain_pixels, drift
from byteedit.picturebook import COLOURS, KINDS, PAGE, scene
from results import filing

EDITS = 10
CELL = PAGE // 4  # pixels: a page has sixteen squares, of which ten are edited


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is run."""

    model: str = byteedit.PICTUREBOOK
    """Checkpoint, a folder or a hub name."""
    scenes: int = 12
    """Pictures that are edited."""
    steps: int = 8
    """Denoising steps of an edit."""
    record: bool = False
    """File the figures in docs/results.json."""


def main(settings: Settings) -> None:
    pipe = byteedit.ByteEditInpaintPipeline.from_pretrained(settings.model)
    pipe.to("cuda" if torch.cuda.is_available() else "cpu").set_progress_bar_config(disable=True)
    file = filing(settings.record, "python benchmarks/drift.py --record")
    found: dict[str, list[list[float]]] = {}  # of each way, a row of levels for each scene
    for seed in range(settings.scenes):
        for way, levels in measured(pipe, seed, settings.steps):
            found.setdefault(way, []).append(levels)
    for way, rows in found.items():
        for after in (1, EDITS):
            file(f"drift.{way}.after_{after}", **asdict(mean([levels[after - 1] for levels in rows])))


def measured(pipe, seed: int, steps: int) -> Iterator[tuple[str, list[float]]]:
    """Each way's name and its drift after every edit, (EDITS,), for one scene."""
    image, edits = scene(seed, "test").render(), list(asked(seed))
    ways = {
        "pasted": chain_pixels(pipe, image, edits, num_inference_steps=steps),
        "decoded": chain_pixels(pipe, image, edits, num_inference_steps=steps, composite=False),
        "latents": chain_latents(pipe, image, edits, num_inference_steps=steps),
    }
    for way, made in ways.items():
        yield way, drift(image, made, edits)


def asked(seed: int) -> Iterator[Edit]:
    """Ten squares of the page, each with a thing to be put there."""
    rng = np.random.default_rng(seed)
    for number, cell in enumerate(rng.permutation((PAGE // CELL) ** 2)[:EDITS]):
        top, left = CELL * (cell // (PAGE // CELL)), CELL * (cell % (PAGE // CELL))
        mask = np.zeros((PAGE, PAGE), np.uint8)
        mask[top : top + CELL, left : left + CELL] = 255
        wish = f"a small {rng.choice(list(COLOURS))} {rng.choice(list(KINDS))}"
        yield Edit(mask=mask, prompt=wish, seed=EDITS * seed + number)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
