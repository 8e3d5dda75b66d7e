"""Where rows come from: local Parquet or JSONL, a folder of either, a folder that `datasets` saved, or the hub.

Columns are as they are found there, images not decoded. No remote code, and no format that could hold any.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from datasets import Dataset, DatasetDict, IterableDataset, load_dataset, load_from_disk
from pyarrow import ArrowInvalid
from pyarrow.parquet import read_metadata

from byteedit.data.skipped import Skipped
from byteedit.files import sha256

__all__ = ["digest", "find_files", "has_splits", "is_saved", "open_rows", "parse_object", "read_json_lines"]

SPLITS = ("train", "validation", "test")
HUB_ID = re.compile(r"[\w-]+/[\w.-]+")
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # half a character in JSON, such as of an emoji


def find_files(source: str | Path, split: str) -> list[Path]:
    """The Parquet files of a split, or else its JSONL files; none where `source` is not made of either.

    A file is itself. In a folder, or in `data` in it, a file belongs to the split that it is named for
    ("test.parquet", "test-00000-of-00004.parquet"); where no file is named for any, all of one kind belong to "train".

    Raises:
        ValueError: `source` is a file of another kind.
    """
    source = Path(source)
    if source.is_file():
        if source.suffix not in (".parquet", ".jsonl"):
            raise ValueError(f"{source} is neither .parquet nor .jsonl; convert it to one of them.")
        return [source]
    kinds = [sorted(source.glob(kind)) for kind in ("*.parquet", "*.jsonl", "data/*.parquet", "data/*.jsonl")]
    named = next((mine for files in kinds if (mine := [file for file in files if _belongs(file, split)])), [])
    if named or split != "train":
        return named
    return next((files for files in kinds if files and not any(_belongs(f, s) for f in files for s in SPLITS)), [])


def _belongs(file: Path, split: str) -> bool:
    return file.stem == split or file.stem.startswith(f"{split}-")


def has_splits(source: str | Path) -> bool:
    """Whether the rows depend on the split that is asked for; those of a file or a saved `Dataset` are always all."""
    return not (Path(source).is_file() or is_saved(Path(source), "state.json"))


def digest(source: str | Path, split: str) -> str | None:
    """One SHA-256 of the bytes of the files that hold a split, or of all that `datasets` saved; None of the hub."""
    path = Path(source)
    if not path.exists():
        return None
    saved = is_saved(path)
    parts = (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("cache-"))
    files = sorted(parts) if saved else find_files(path, split)
    return hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()


def is_saved(path: Path, *names: str) -> bool:
    """Whether `datasets` saved a folder, as a `Dataset` (state.json) or, unless `names` say else, a `DatasetDict`."""
    return path.is_dir() and any((path / name).is_file() for name in names or ("state.json", "dataset_dict.json"))


def open_rows(
    source: str | Path, split: str = "train", *, config: str | None = None, streaming: bool = False
) -> Dataset | IterableDataset:
    """Rows of Parquet files, of a saved folder, or of the hub ("owner/name", with `config` where it has several).

    Raises:
        ValueError: there is nothing of the kind, or not the split, or it is empty, or its first file is broken.
    """
    if is_saved(Path(source)):
        rows = load_from_disk(source)
        rows = _pick(rows, split, source) if isinstance(rows, DatasetDict) else rows
        return rows.to_iterable_dataset() if streaming else rows
    if files := [str(file) for file in find_files(source, split)]:
        if not any(map(_count, files)):
            raise ValueError(f"{source} holds no rows.")
        return load_dataset("parquet", data_files=files, split="train", streaming=streaming)
    if Path(source).exists():
        raise ValueError(f"{source} holds no Parquet or JSONL of the split {split!r}; name the file, or another split.")
    if not HUB_ID.fullmatch(str(source)) or str(source).endswith((".parquet", ".jsonl", ".tar")):
        raise ValueError(f"there is no file or folder {source}, and it is no hub id, which would be owner/name.")
    return load_dataset(str(source), config, split=split, streaming=streaming)


def _count(file: str) -> int:
    try:
        return read_metadata(file).num_rows
    except ArrowInvalid as error:
        raise ValueError(f"{file} is no Parquet file, or not a whole one; fetch it again, or take it away.") from error


def _pick(splits: DatasetDict, split: str, source: str | Path) -> Dataset:
    if split not in splits:
        raise ValueError(f"{source} has no split {split!r}; it has {', '.join(splits)}.")
    return splits[split]


def read_json_lines(files: list[Path], skipped: Skipped) -> Iterator[tuple[Path, dict]]:
    """The rows of JSONL files, each with its file; lines that are no JSON object are counted and left out."""
    for file in files:
        with open(file, "rb") as lines:
            for line in filter(bytes.strip, lines):
                row = parse_object(line)
                if row is None:
                    skipped.add("broken line")
                else:
                    yield file, row


def parse_object(line: bytes) -> dict | None:
    """A JSON object; None where it is none, or nested too deeply, or no whole UTF-8."""
    try:
        row = json.loads(text := line.decode("utf-8-sig"))
        if SURROGATE.search(text):
            json.dumps(row, ensure_ascii=False).encode()  # raises for half a character, which no file could hold
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
