"""Pictures with prompts of your own, in the manner of UserBench: a folder, or a data set.

A folder has `metadata.jsonl` or `metadata.csv`, a line a picture: `file_name`, `prompt`, and where there are some
`mask_file_name`, `reference_file_name`, `prompt_simple`, `prompt_rich`, `task` and `id`; or a .txt beside each picture
and a NAME_mask.png. A data set (Parquet, or the hub) has `image`, `mask` and `reference` in place of the file names.
What is null or left empty in a line or row is not there.
Source: UserBench (arXiv 2404.04860), 100 pairs, was never released; this is its form, not its content.
"""

import csv
import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from byteedit.evaluation import TASKS
from byteedit.evaluation.benchmarks.case import EditCase, open_mask, open_picture
from byteedit.masks import KINDS

__all__ = ["read_pairs"]

PICTURES = ("image", "mask", "reference")
PROMPTS = {"full": "prompt", "simple": "prompt_simple", "rich": "prompt_rich"}
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
Drawn = Literal["none", "irregular", "square", "outward"]


def read_pairs(place: str | None, *, mask: Drawn = "none", split: str = "test") -> list[EditCase]:
    """The cases of a folder or a data set of pictures and prompts.

    Args:
        place: the folder, or a data set as `byteedit.data.sources.open_rows` opens it.
        mask: the kind of mask that a picture without one gets, seeded with its number: one of `masks.KINDS`. "outward"
            makes an outpainting, of which the picture itself is the right answer.
        split: of a data set.

    Raises:
        ValueError: there are no pictures, or a picture has no mask and none shall be drawn, or has no prompt.
    """
    root = Path(place or ".")
    listed = [file for name in ("metadata.jsonl", "metadata.csv") if (file := root / name).is_file()]
    if listed:
        rows = [_from_line(root, line) for line in _lines(listed[0])]
    else:
        rows = [_from_text(path) for path in _pictures(root)] or _from_data_set(place or ".", split)
    return [_case(row, number, mask) for number, row in enumerate(rows)]


def _lines(file: Path) -> list[dict[str, Any]]:
    with open(file, encoding="utf-8-sig", newline="") as lines:
        if file.suffix == ".csv":
            return list(csv.DictReader(lines))
        return [_parsed(file, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _parsed(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}, line {number} is no JSON ({error.msg}).") from None
    if not isinstance(row, dict):
        raise ValueError(f'{file}, line {number} is no object; write {{"file_name": ...}}.')
    return row


def _from_line(root: Path, line: dict[str, Any]) -> dict[str, Any]:
    if not line.get("file_name"):
        raise ValueError(f"{root}: a line of the metadata has no file_name; it has {', '.join(line)}.")
    columns = {"image": "file_name", "mask": "mask_file_name", "reference": "reference_file_name"}
    files = {name: root / line[column] for name, column in columns.items() if line.get(column)}
    rest = {name: value for name, value in line.items() if name not in columns.values() and value not in (None, "")}
    return {"id": str(Path(line["file_name"]).with_suffix("")), **rest, **_readers(files)}


def _pictures(root: Path) -> list[Path]:
    """The pictures in a folder that have a .txt beside them."""
    return sorted(path for path in root.glob("*") if path.suffix.lower() in ENDINGS and _words(path).is_file())


def _words(picture: Path) -> Path:
    return picture.with_suffix(".txt")


def _from_text(path: Path) -> dict[str, Any]:
    files = {"image": path}
    if (mask := path.with_name(f"{path.stem}_mask.png")).is_file():
        files["mask"] = mask
    return {"id": path.stem, "prompt": _words(path).read_text(encoding="utf-8").strip(), **_readers(files)}


def _readers(files: dict[str, Path]) -> dict[str, Callable[[], np.ndarray]]:
    return {name: partial(open_mask if name == "mask" else open_picture, file) for name, file in files.items()}


def _from_data_set(place: str, split: str) -> Iterable[dict[str, Any]]:
    import datasets

    from byteedit.data.sources import open_rows

    rows = open_rows(place, split)
    there = [name for name in PICTURES if name in rows.column_names]
    for name in there:
        rows = rows.cast_column(name, datasets.Image(decode=False))
    filled = {name: _filled(rows, name) for name in there}
    texts = rows.select_columns([name for name in rows.column_names if name not in there])
    for number, row in enumerate(texts):
        said = {name: value for name, value in row.items() if value is not None}
        pictures = [name for name in there if name == "image" or filled[name][number]]
        yield {"id": f"{number:05d}"} | said | {name: partial(_cell, rows, number, name) for name in pictures}


def _filled(rows, column: str) -> list[bool]:
    """Whether each cell of a column of pictures holds one; none is read."""
    return rows.select_columns([column]).with_format("arrow")[:][column].is_valid().to_pylist()


def _cell(rows, number: int, column: str) -> np.ndarray:
    source = rows.select_columns([column])[number][column]
    return open_mask(source) if column == "mask" else open_picture(source)


def _case(row: dict[str, Any], number: int, kind: Drawn) -> EditCase:
    name = str(row["id"]).replace("/", "-")
    task = row.get("task") or ("outpainting" if "mask" not in row and kind == "outward" else "editing")
    prompts = {key: row[column] for key, column in PROMPTS.items() if row.get(column)}
    _check(name, row, task, prompts, kind)
    drawn = "mask" not in row
    known = {*PICTURES, *PROMPTS.values(), "id", "task"}
    return EditCase(
        id=name,
        task=task,
        seed=number,
        read_page=row["image"],
        read_mask=partial(_draw, row["image"], kind, number) if drawn else row["mask"],
        read_reference=row["image"] if drawn and task == "outpainting" else row.get("reference"),
        prompts=prompts,
        attributes={k: v for k, v in row.items() if k not in known and isinstance(v, str | int | float)},
    )


def _check(name: str, row: dict[str, Any], task: str, prompts: dict[str, str], kind: Drawn) -> None:
    if "image" not in row:
        raise ValueError(f"{name} has no image; its columns are {', '.join(row)}.")
    if "mask" not in row and kind == "none":
        raise ValueError(f"{name} has no mask; name one in its metadata, or have masks drawn: mask=square.")
    if task not in TASKS:
        raise ValueError(f"{name} has the task {task!r}; it is one of {', '.join(TASKS)}.")
    if task == "editing" and not prompts:
        columns = ", ".join(row)
        raise ValueError(f"{name} is an edit without a prompt, and its columns are {columns}; give it one, or a task.")


def _draw(read_image: Callable[[], np.ndarray], kind: Drawn, seed: int) -> np.ndarray:  # (H, W) uint8
    return KINDS[kind](read_image().shape[:2], np.random.default_rng(seed))
