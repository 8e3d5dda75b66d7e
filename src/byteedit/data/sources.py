"""Where rows come from: local Parquet or JSONL, a folder of either, a folder that `datasets` saved, or the hub.

Columns are as they are found there, images not decoded. No remote code, and no format that could hold any.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from datasets import Dataset, DatasetDict, IterableDataset, load_dataset, load_from_disk
from pyarrow.parquet import read_metadata

from byteedit.data.skipped import Skipped

__all__ = ["find_files", "open_rows", "read_json_lines"]

SPLITS = ("train", "validation", "test")
HUB_ID = re.compile(r"[\w-]+/[\w.-]+")


def find_files(source: str | Path, split: str) -> list[Path]:
    """The Parquet files of a split, or else its JSONL files; none where `source` is not made of either.

    A file is itself. In a folder, or in `data` in it, a file belongs to the split that it is named for
    ("test.parquet", "test-00000-of-00004.parquet"); where no file is named for a split, all belong to "train".

    Raises:
        ValueError: `source` is a file of another kind.
    """
    source = Path(source)
    if source.is_file():
        if source.suffix not in (".parquet", ".jsonl"):
            raise ValueError(f"{source} is neither .parquet nor .jsonl; convert it to one of them.")
        return [source]
    for pattern in ("*.parquet", "*.jsonl", "data/*.parquet", "data/*.jsonl"):
        files = sorted(source.glob(pattern))
        if split == "train" and not any(_belongs(file, other) for file in files for other in SPLITS):
            mine = files
        else:
            mine = [file for file in files if _belongs(file, split)]
        if mine:
            return mine
    return []


def _belongs(file: Path, split: str) -> bool:
    return file.stem == split or file.stem.startswith(f"{split}-")


def open_rows(
    source: str | Path, split: str = "train", *, config: str | None = None, streaming: bool = False
) -> Dataset | IterableDataset:
    """Rows of Parquet files, of a saved folder, or of the hub ("owner/name", with `config` where it has several).

    Raises:
        ValueError: there is nothing of the kind, or not the split, or it is empty.
    """
    if Path(source).is_dir() and any((Path(source) / name).is_file() for name in ("state.json", "dataset_dict.json")):
        rows = load_from_disk(source)
        rows = _pick(rows, split, source) if isinstance(rows, DatasetDict) else rows
        return rows.to_iterable_dataset() if streaming else rows
    if files := [str(file) for file in find_files(source, split)]:
        if not any(read_metadata(file).num_rows for file in files):
            raise ValueError(f"{source} holds no rows.")
        return load_dataset("parquet", data_files=files, split="train", streaming=streaming)
    if Path(source).exists():
        raise ValueError(f"{source} holds no Parquet or JSONL of the split {split!r}; name the file, or another split.")
    if not HUB_ID.fullmatch(str(source)):
        raise ValueError(f"there is no file or folder {source}, and it is no hub id, which would be owner/name.")
    return load_dataset(str(source), config, split=split, streaming=streaming)


def _pick(splits: DatasetDict, split: str, source: str | Path) -> Dataset:
    if split not in splits:
        raise ValueError(f"{source} has no split {split!r}; it has {', '.join(splits)}.")
    return splits[split]


def read_json_lines(files: list[Path], skipped: Skipped) -> Iterator[tuple[Path, dict]]:
    """The rows of JSONL files, each with its file; lines that are no JSON object are counted and left out."""
    for file in files:
        with open(file, encoding="utf-8") as lines:
            for line in filter(str.strip, lines):
                row = _parse(line)
                if row is None:
                    skipped.add("broken line")
                else:
                    yield file, row


def _parse(line: str) -> dict | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None
