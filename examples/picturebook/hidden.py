"""D_train for feedback learning at picturebook scale: pages with masks, and the words for what each mask hides.

The checkpoint that ships learnt that a prompt says what shall be under the mask, and that no prompt means the
background. These rows ask it in the same way, under the same masks (`items.py`), on pages of its own. Things beyond the
border are asked for more often than in its training, where they are one item of ten: without guidance they get lost.

    python examples/picturebook/hidden.py
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
from byteedit.picturebook import KINDS

FIRST_SEED = {"train": 900_000_000, "validation": 950_000_000}  # of the items; the checkpoint's training began at 0
COUNTS = {"train": 8000, "validation": 48}
SHARES = {"beyond": 0.25, "within": 0.4, "nothing": 0.35}
"""Of the rows: a thing is asked for beyond the picture's border, or within the picture, or none is."""


@dataclass(kw_only=True)
class Settings:
    output: Path = Path(".runs/data/hidden")
    """Folder of the rows: a Parquet file a split."""


def rows(split: str, number: int) -> Iterator[dict]:
    """Rows of D_train, each with a mask of its own: the first items of the split that make up its shares."""
    left = {what: round(share * number) for what, share in SHARES.items()}
    for seed in count(FIRST_SEED[split]):
        made = item(seed)
        what = asked(made)
        if left[what]:
            left[what] -= 1
            yield {"image": Image.fromarray(made.picture), "caption": made.prompt, "mask": Image.fromarray(made.mask)}
        if not any(left.values()):
            return


def asked(made: Item) -> str:
    """Which of `SHARES` an item is; beyond the border is where a whole side of the page is to be generated."""
    if not any(kind in made.prompt for kind in KINDS):
        return "nothing"
    mask = made.mask > 0
    sides = mask[0], mask[-1], mask[:, 0], mask[:, -1]
    return "beyond" if any(side.all() for side in sides) else "within"


def main(settings: Settings) -> None:
    settings.output.mkdir(parents=True, exist_ok=True)
    for split, number in COUNTS.items():
        made = list(tqdm(rows(split, number), split, total=number))
        columns = EDITS.features(made[0], decoded=True)
        path = settings.output / f"{split}.parquet"
        Dataset.from_dict({name: [row[name] for row in made] for name in columns}, features=columns).to_parquet(path)
        print(f"{path}: {len(made)} rows")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
