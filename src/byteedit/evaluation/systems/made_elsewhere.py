"""`folder:DIR`: answers that were made elsewhere, by Adobe, Canva, MeiTu or anything, a DIR/ID.png for each case.

Beside them lies system.json, an object that says what made them: a name, a version, a date, settings. A run of
`byteedit evaluate` leaves such folders itself. Sizes are never changed unless that is asked for.
"""

import json
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from byteedit.evaluation.benchmarks.case import EditCase, open_picture
from byteedit.evaluation.systems.system import System
from byteedit.files import sha256

__all__ = ["open_folder"]


def open_folder(folder: str | None, *, resize: Literal["no", "lanczos"] = "no") -> System:
    """The answers in a folder.

    Args:
        folder: holds system.json, and ID.png for each case.
        resize: what to do with an answer of another size than its case: "no" is an error, "lanczos" resizes it,
            antialiased.

    Raises:
        ValueError: there is no such folder, or no system.json that is a JSON object in it.
    """
    root = Path(folder or ".")
    described = root / "system.json"
    if not described.is_file():
        raise ValueError(
            f"{root} has no system.json; write one that says what made its pictures, such as"
            ' {"system": "someone\'s editor", "version": "3.1", "date": "2024-05-01"}.'
        )
    said = json.loads(described.read_text(encoding="utf-8"))
    if not isinstance(said, dict):
        raise ValueError(f"{described} is no JSON object; write one, such as " + '{"system": "someone\'s editor"}.')

    def edit(case: EditCase) -> np.ndarray:
        file, size = root / f"{case.id}.png", case.mask.shape
        if not file.is_file():
            raise ValueError(f"{root} has no {case.id}.png.")
        image = open_picture(file)
        if image.shape[:2] == size:
            return image
        if resize == "no":
            came = f"{file} is {image.shape[1]} x {image.shape[0]} pixels, the case {size[1]} x {size[0]}"
            raise ValueError(f"{came}; add resize=lanczos to have such answers resized.")
        return np.asarray(Image.fromarray(image).resize(size[::-1], Resampling.LANCZOS))

    def stamp(case: EditCase) -> str | None:
        file = root / f"{case.id}.png"
        return sha256(file) if file.is_file() else None

    return System(settings={**said, "folder": str(root), "resize": resize}, edit=edit, stamp=stamp)
