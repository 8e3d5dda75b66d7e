"""D_train for feedback learning at picturebook scale: pages with masks, and the words for what each mask hides.

The checkpoint that ships learnt that a prompt says what shall be under the mask, and that no prompt means the
background. These rows ask it in the same way, under the same masks (`items.py`), on pages of its own.

    python examples/picturebook/hidden.py
    python examples/picturebook/hidden.py --beyond 0.4 --rows 3000 --output .runs/data/beyond
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import tyro
from datasets import Dataset
from items import Item, item
from PIL import Image
from tqdm import tqdm

from byteedit.data.edits import EDITS

FIRST_SEED = 900_000_000  # of the items; the checkpoint's training began at 0
HELD_OUT = 48  # rows of the validation split
APART = 100_000_000  # from the seeds of rows as they come to those that are chosen


@dataclass(kw_only=True)
class Settings:
    output: Path = Path(".runs/data/hidden")
    """Folder of the rows: a Parquet file a split."""
    rows: int = 8000
    """Rows of the train split."""
    beyond: float = 0.0
    """Share of the rows, in [0, 1], whose mask takes all of a side and hides something that is named. Of rows as they
    come, one of eleven is so: then rewards see little of what is asked for beyond the border."""


def row(made: Item) -> dict:
    """A row of D_train with a mask of its own."""
    return {"image": Image.fromarray(made.picture), "caption": made.prompt, "mask": Image.fromarray(made.mask)}


def beyond(made: Item) -> bool:
    """Whether something is named, and hidden by a mask that takes all of a side."""
    mask = made.mask > 127
    sides = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    return made.prompt.startswith(("a ", "an ")) and any(side.all() for side in sides)


def train_rows(settings: Settings) -> Iterator[dict]:
    """The rows of the train split: so many chosen ones, spread over those as they come."""
    chosen = filter(beyond, map(item, count(FIRST_SEED + APART)))
    for n in range(settings.rows):
        more = int((n + 1) * settings.beyond) > int(n * settings.beyond)
        yield row(next(chosen) if more else item(FIRST_SEED + n))


def main(settings: Settings) -> None:
    settings.output.mkdir(parents=True, exist_ok=True)
    held_out = (row(item(FIRST_SEED + 8000 + n)) for n in range(HELD_OUT))
    splits = {"train": (train_rows(settings), settings.rows), "validation": (held_out, HELD_OUT)}
    for split, (made, number) in splits.items():
        rows = list(tqdm(made, split, number))
        columns = EDITS.features(rows[0], decoded=True)
        path = settings.output / f"{split}.parquet"
        Dataset.from_dict({name: [row[name] for row in rows] for name in columns}, features=columns).to_parquet(path)
        print(f"{path}: {len(rows)} rows")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
