"""Folders of pictures with captions: listed in metadata.jsonl or metadata.csv, or in a .txt beside each picture.

Metadata are as the `imagefolder` of `datasets` knows them: `file_name`, a caption, `mask_file_name` for a mask of the
row's own, and `instances_file_names` for a list of masks of objects. They are held in Arrow, a row at the cost of its
paths and its caption; pictures are not opened here.
"""

import csv
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset

from byteedit.data.images import Unusable, store
from byteedit.data.skipped import Skipped
from byteedit.data.sources import read_json_lines

__all__ = ["METADATA", "PICTURES", "find_pictures", "read_metadata", "with_caption"]

METADATA = ("metadata.jsonl", "metadata.csv")
PICTURES = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff")  # endings
CHUNK = 10_000  # rows that are Python objects at once

Row = dict[str, Any]


def find_pictures(folder: Path) -> list[str]:
    """The paths of the pictures in a folder and the folders within, sorted."""
    return sorted(str(path) for path in folder.rglob("*") if path.suffix[1:].lower() in PICTURES)


def with_caption(path: str) -> Row:
    """A row of a picture's path: the caption is what the .txt beside it holds, None without one.

    Raises:
        Unusable: the caption is not UTF-8.
    """
    words = Path(path).with_suffix(".txt")
    try:
        caption = words.read_text(encoding="utf-8-sig").strip() if words.is_file() else None
    except UnicodeDecodeError:
        raise Unusable("caption that is not UTF-8") from None
    return {"image": store(path), "caption": caption}


def read_metadata(file: Path, caption: str, skipped: Skipped) -> Dataset:
    """The rows of metadata.jsonl or metadata.csv, as the columns of `EDITS`, pictures as paths.

    Lines that are no row, or whose values are of another kind, are counted and left out.

    Raises:
        ValueError: there are no rows, or the first has no column called `caption`.
    """
    lines = _csv(file) if file.suffix == ".csv" else (row for _, row in read_json_lines([file], skipped))
    first = next(lines, None)
    if first is None:
        raise ValueError(f"{file} holds no rows; write a picture's file_name and its {caption} on each line.")
    if missing := {"file_name", caption} - first.keys():
        raise ValueError(
            f"{file} has no {' and no '.join(sorted(missing))}; its columns are {', '.join(first)}. Rename one, or say"
            " with caption_column which holds the caption."
        )
    rows = _rows(chain([first], lines), caption, skipped)
    return Dataset(pa.concat_tables(_tables(rows)))


def _csv(file: Path) -> Iterator[Row]:
    with open(file, encoding="utf-8-sig", newline="") as lines:  # spreadsheets begin with a mark
        try:
            yield from csv.DictReader(lines)
        except UnicodeDecodeError:
            raise ValueError(f"{file} is not UTF-8; save it again as UTF-8.") from None


def _rows(lines: Iterator[Row], caption: str, skipped: Skipped) -> Iterator[Row]:
    for line in lines:
        row = {
            "image": line.get("file_name"),
            "caption": line.get(caption),
            "mask": line.get("mask_file_name") or None,
            "instances": line.get("instances_file_names") or [],
            "phrases": line.get("phrases") or [],
        }
        words, lists = [row["image"], row["caption"], row["mask"]], [row["instances"], row["phrases"]]
        if all(isinstance(one, str | None) for one in words) and all(map(_lists_words, lists)):
            yield row
        else:
            skipped.add("broken line")


def _lists_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _tables(rows: Iterator[Row]) -> Iterator[pa.Table]:
    """Tables of some rows each; one at least."""
    text = pa.large_string()
    lists = {"instances": pa.list_(text), "phrases": pa.list_(text)}
    schema = pa.schema({"image": text, "caption": text, "mask": text} | lists)
    yield pa.Table.from_pylist([], schema)
    while some := list(islice(rows, CHUNK)):
        yield pa.Table.from_pylist(some, schema)
