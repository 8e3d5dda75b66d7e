"""Data sets that are written shard by shard, so that a kill in the middle loses at most one shard.

A shard is a Parquet file that appears whole or not at all. What it holds follows from its number alone, so a run that
is started again writes what is missing and ends with the data set of an undisturbed run.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import Dataset, Features
from tqdm import tqdm

from byteedit.files import write_atomically

__all__ = ["build_shards", "to_dataset"]

Row = dict[str, Any]


def build_shards(
    folder: Path,
    items: Iterable,
    make: Callable[[list], list[Row]],
    features: Features,
    *,
    size: int,
    process: int = 0,
    processes: int = 1,
    total: int | None = None,
    splits: Sequence[str] = ("shard",),
    split: Callable[[Row], str] | None = None,
) -> None:
    """Write `make` of every `size` items that follow one another to a shard of `folder`; shards there are left alone.

    `make` may give more rows than items, or fewer, or none; its images are PIL images or what rows hold. Of several
    processes each writes every `processes`-th shard. `total` is the number of items, for the progress bar. With several
    `splits`, such as ("train", "validation"), a shard is a file of each, named for it, and `split` says of a row which
    is its own.
    """
    with tqdm(total=total, desc=folder.name, unit="item", disable=process > 0) as bar:
        for number, batch in enumerate(_batches(items, size)):
            files = {name: folder / f"{name}-{number:06d}.parquet" for name in splits}
            if number % processes == process and not all(file.exists() for file in files.values()):
                rows = make(batch)
                for name, file in files.items():
                    mine = rows if split is None else [row for row in rows if split(row) == name]
                    write_atomically(file, _parquet(mine, features))
            bar.update(len(batch))


def to_dataset(rows: Sequence[Row], features: Features) -> Dataset:
    """Rows as a data set of such columns; what a row lacks is None there."""
    return Dataset.from_dict({name: [row.get(name) for row in rows] for name in features}, features=features)


def _batches(items: Iterable, size: int) -> Iterator[list]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _parquet(rows: list[Row], features: Features) -> bytes:
    """The bytes of a Parquet file of rows, image files included."""
    buffer = io.BytesIO()
    to_dataset(rows, features).to_parquet(buffer)
    return buffer.getvalue()
