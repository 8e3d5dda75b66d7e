"""Small benchmarks as they lie on disk, in their authors' layouts, written on the spot."""

import csv
import io
import json
from pathlib import Path

import datasets
import numpy as np
from PIL import Image

SIZE = (40, 48)  # height, width


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def mask(top: int = 4, left: int = 6, bottom: int = 14, right: int = 18) -> np.ndarray:
    white = np.zeros(SIZE, np.uint8)
    white[top:bottom, left:right] = 255
    return white


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def png(pixels: np.ndarray) -> dict:
    """A picture as a row of a data set holds it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def runs(white: np.ndarray) -> list[int]:
    """Starts and lengths of what is white, the slow way: counted from 1, line by line."""
    found, before = [], 0
    for number, value in enumerate(white.ravel(), 1):
        if value and not before:
            found += [number, 0]
        if value:
            found[-1] += 1
        before = value
    return found


def write_editbench(folder: Path, invert: bool = False) -> Path:
    """An EditBench of three cases, its masks the wrong way round where `invert`."""
    number = 0
    for half, names in (("natural", ["cat-material-indoor", "dog-color-outdoor"]), ("generated", ["cup-size-art"])):
        with open(folder / f"annotations_{half}.csv", "w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["aos", "category", "prompt_full", "prompt_mask-simple", "prompt_mask-rich"])
            for name in names:
                lines.writerow([name, "common", f"a {name}, in a room", f"a {name}", f"a big, old {name}"])
                white = mask(right=18 + number)
                save(folder / f"references_{half}" / f"{name}.png", picture(number))
                save(folder / f"masks_{half}" / f"{name}.png", 255 - white if invert else white)
                number += 1
    return folder


def write_brushbench(folder: Path) -> Path:
    """A BrushBench of two cases."""
    entries = {}
    for number, key in enumerate(["000000001", "000000017"]):
        save(folder / "images" / f"{key}.png", picture(number))
        white = mask(bottom=14 + number)
        entries[key] = {
            "image": f"images/{key}.png",
            "caption": f"a boat, {number}",
            "inpainting_mask": runs(white),
            "outpainting_mask": runs(255 - white),
        }
    (folder / "mapping_file.json").write_text(json.dumps(entries))
    return folder


def write_nulls(folder: Path, images: list[dict | None]) -> Path:
    """A data set of pairs, of which the first row alone has a mask, a reference, an id and a source."""
    bare = dict.fromkeys(["mask", "reference", "id", "source"]) | {"prompt": "a boat"}
    whole = bare | {"mask": png(mask()), "reference": png(picture(9)), "id": "whole", "source": "a pond"}
    rows = [(bare if number else whole) | {"image": image} for number, image in enumerate(images)]
    pictures = {name: datasets.Image() for name in ("image", "mask", "reference")}
    texts = {name: datasets.Value("string") for name in ("id", "source", "prompt")}
    table = datasets.Dataset.from_list(rows, features=datasets.Features(pictures | texts))
    table.to_parquet(folder / "test.parquet")
    return folder


def write_outpainting(folder: Path, white: np.ndarray) -> Path:
    """A folder of pairs that holds an outpainting with a mask of its own."""
    save(folder / "one.png", picture(0))
    save(folder / "one_mask.png", white)
    line = {"file_name": "one.png", "mask_file_name": "one_mask.png", "task": "outpainting"}
    (folder / "metadata.jsonl").write_text(json.dumps(line))
    return folder


def write_csv(folder: Path) -> Path:
    """A folder of pairs listed in metadata.csv: one with all there can be, and one whose cells are left empty."""
    for name, number in (("one", 0), ("two", 0), ("answer", 1)):
        save(folder / f"{name}.png", picture(number))
    save(folder / "where.png", mask())
    (folder / "metadata.csv").write_text(
        "file_name,mask_file_name,reference_file_name,prompt,task,id,subject\n"
        'one.png,where.png,answer.png,"a boat, red",,first,ships\n'
        "two.png,,,,erasing,,\n"
    )
    return folder


def write_imagenhub(folder: Path) -> Path:
    """ImagenHub's set with one row."""
    names = ("img_id", "instruction", "source_global_caption", "target_global_caption", "target_local_caption")
    shown = np.dstack([picture(0), 255 - mask() // 2])  # half transparent where to generate
    pictures = {"source_img": png(picture(0)), "mask_img": png(shown), "target_img": png(picture(1))}
    row = {name: f"{name} words" for name in names} | {"img_id": "17", "turn_index": 2} | pictures
    texts = {name: datasets.Value("string") for name in names} | {"turn_index": datasets.Value("int32")}
    features = datasets.Features(texts | {name: datasets.Image() for name in pictures})
    datasets.Dataset.from_list([row], features=features).to_parquet(folder / "filtered-00000-of-00001.parquet")
    return folder
