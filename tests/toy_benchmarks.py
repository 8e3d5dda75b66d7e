"""Small benchmarks as they lie on disk, in their authors' layouts, written on the spot."""

import csv
import json
from pathlib import Path

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
