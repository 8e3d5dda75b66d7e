"""Pairs of captions for the alignment reward: one that fits the page, and one that is wrong or poor.

A caption names one thing of a page or all of them, sometimes with sizes and the place, as prompts do. A wrong one has
another kind, colour, size or place instead, such as the page does not show; a poor one leaves out what matters. What is
learnt from is the train split's, which never shows the held-out combinations.

    python examples/picturebook/captions.py
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from numpy.random import Generator
from PIL import Image
from tqdm import tqdm

from byteedit.data.preferences import ALIGNMENT
from byteedit.data.shards import to_dataset
from byteedit.picturebook import BACKGROUNDS, COLOURS, KINDS, SIZES, Scene, Thing, scene

COUNTS = {"train": 20_000, "validation": 500, "test": 1000}
FIRST_SEED = 700_000  # of each split's scenes
FAULTS = {"kind": 0.3, "colour": 0.3, "size": 0.1, "place": 0.15, "poor": 0.15}
CHOICES = {"kind": KINDS, "colour": COLOURS, "size": SIZES}


@dataclass(kw_only=True)
class Settings:
    output: Path = Path(".runs/data/alignment")
    """Folder of the pairs: a Parquet file a split."""


def pair(seed: int, split: str) -> dict | None:
    """A row of D_align; None for a page without things."""
    page, rng = scene(seed, split), np.random.default_rng([11, seed])
    if not page.things:
        return None
    thing = page.things[int(rng.integers(len(page.things)))]
    fault = str(rng.choice(list(FAULTS), p=list(FAULTS.values())))
    told = page.things if rng.random() < 0.3 else (thing,)
    sized = fault == "size" or rng.random() < 0.5
    place = page.place if fault == "place" or rng.random() < 0.3 else ""
    if fault == "place":
        bad = caption(told, sized, other(rng, BACKGROUNDS.values(), place))
    elif fault == "poor":
        coloured = replace(thing, kind="thing").plain_phrase
        bad = str(rng.choice(["something", f"a {thing.kind}", coloured, page.place]))
    else:
        wrong = changed(thing, fault, page, rng)
        bad = caption([wrong if one is thing else one for one in told], sized, place)
    image = Image.fromarray(page.render())
    return {"image": image, "caption_chosen": caption(told, sized, place), "caption_rejected": bad}


def caption(things: Iterable[Thing], sized: bool, place: str) -> str:
    phrases = (thing.phrase if sized else thing.plain_phrase for thing in things)
    return f"{' and '.join(phrases)} {place}".strip()


def changed(thing: Thing, fault: str, page: Scene, rng: Generator) -> Thing:
    """The thing with another kind, colour or size, such as the page does not show."""
    says = "phrase" if fault == "size" else "name"
    shown = {getattr(one, says) for one in page.things}
    changes = [replace(thing, **{fault: value}) for value in CHOICES[fault]]
    wrong = [change for change in changes if getattr(change, says) not in shown]
    return wrong[int(rng.integers(len(wrong)))] if wrong else changed(thing, "colour", page, rng)


def other(rng: Generator, names: Iterable[str], than: str) -> str:
    return str(rng.choice([name for name in names if name != than]))


def main(settings: Settings) -> None:
    settings.output.mkdir(parents=True, exist_ok=True)
    for split, number in COUNTS.items():
        seeds = range(FIRST_SEED, FIRST_SEED + number)
        rows = [row for seed in tqdm(seeds, split) if (row := pair(seed, split))]
        columns = ALIGNMENT.features(rows[0], decoded=True)
        path = settings.output / f"{split}.parquet"
        to_dataset(rows, columns).to_parquet(path)
        print(f"{path}: {len(rows)} rows")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
