"""D_train for feedback learning at picturebook scale: pages with masks, and the words for what each mask hides.

The checkpoint that ships learnt that a prompt says what shall be under the mask, and that no prompt means the
background. These rows ask it in the same way, under the same masks (`items.py`), on pages of its own.

    python examples/picturebook/hidden.py
"""

from dataclasses import dataclass
from pathlib import Path

import tyro
from items import item
from PIL import Image
from tqdm import tqdm

from byteedit.data.edits import EDITS
from byteedit.data.shards import to_dataset

FIRST_SEED = 900_000_000  # of the items; the checkpoint's training began at 0
COUNTS = {"train": 8000, "validation": 48}


@dataclass(kw_only=True)
class Settings:
    output: Path = Path(".runs/data/hidden")
    """Folder of the rows: a Parquet file a split."""


def row(seed: int) -> dict:
    """A row of D_train with a mask of its own."""
    made = item(seed)
    return {"image": Image.fromarray(made.picture), "caption": made.prompt, "mask": Image.fromarray(made.mask)}


def main(settings: Settings) -> None:
    settings.output.mkdir(parents=True, exist_ok=True)
    first = FIRST_SEED
    for split, number in COUNTS.items():
        rows = [row(first + n) for n in tqdm(range(number), split)]
        first += number
        columns = EDITS.features(rows[0], decoded=True)
        path = settings.output / f"{split}.parquet"
        to_dataset(rows, columns).to_parquet(path)
        print(f"{path}: {len(rows)} rows")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
