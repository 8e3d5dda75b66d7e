"""BrushBench: pictures with a caption and two masks, of the thing and of all around it, as runs of pixels.

A folder holds `images/` and `mapping_file.json`: by key an `image`, a `caption`, an `inpainting_mask` and an
`outpainting_mask`. A mask is a list of starts and lengths of runs, counted from 1 and line by line. Its authors' copy
of EditBench has the same layout.
Source: BrushNet (arXiv 2403.06976), its examples/brushnet/evaluate_brushnet.py.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from byteedit.evaluation.benchmarks.case import EditCase, open_picture

__all__ = ["decode_runs", "read_brushbench"]

MASKS = {"inside": "inpainting_mask", "outside": "outpainting_mask"}


def read_brushbench(folder: str | None, *, where: Literal["inside", "outside"] = "inside") -> list[EditCase]:
    """The cases of a BrushBench folder; ids are the keys of its mapping file.

    Args:
        folder: where it lies.
        where: generate the thing ("inside") or what is around it ("outside").

    Raises:
        ValueError: the folder is of another layout.
    """
    root = Path(folder or ".")
    mapping = root / "mapping_file.json"
    if not mapping.is_file():
        raise ValueError(f"{root} is no BrushBench: it has no mapping_file.json.")
    entries = json.loads(mapping.read_text(encoding="utf-8"))
    return [_case(root, key, entry, seed, where) for seed, (key, entry) in enumerate(entries.items())]


def _case(root: Path, key: str, entry: dict, seed: int, where: str) -> EditCase:
    if missing := {"image", "caption", MASKS[where]} - entry.keys():
        raise ValueError(f"{root}: {key} has no {', '.join(sorted(missing))}; it has {', '.join(entry)}.")
    return EditCase(
        id=key.replace("/", "-"),
        task="editing",
        seed=seed,
        read_page=partial(open_picture, root / entry["image"]),
        read_mask=partial(_mask, root / entry["image"], entry[MASKS[where]]),
        prompts={"full": entry["caption"]},
        attributes={"where": where},
    )


def _mask(picture: Path, runs: Sequence[int]) -> np.ndarray:  # (H, W) uint8
    return decode_runs(runs, open_picture(picture).shape[:2])


def decode_runs(runs: Sequence[int], size: tuple[int, int]) -> np.ndarray:  # (H, W) uint8
    """A mask from starts and lengths of runs, [start, length, start, length, ...], counted from 1 and line by line.

    Raises:
        ValueError: the runs are not in pairs, or go beyond `size` (height, width).
    """
    pairs = np.asarray(runs, dtype=int)
    if len(pairs) % 2:
        raise ValueError(f"a mask is {len(pairs)} numbers, which are no pairs of start and length.")
    starts, lengths = pairs[::2] - 1, pairs[1::2]
    pixels = size[0] * size[1]
    if len(starts) and (starts.min() < 0 or (starts + lengths).max() > pixels):
        raise ValueError(f"a mask's runs go from {starts.min() + 1} to {(starts + lengths).max()}, not 1 to {pixels}.")
    steps = np.zeros(pixels + 1, int)  # +1 where a run begins, -1 where it has ended
    np.add.at(steps, starts, 1)
    np.add.at(steps, starts + lengths, -1)
    return np.where(np.cumsum(steps[:-1]) > 0, 255, 0).astype(np.uint8).reshape(size)
