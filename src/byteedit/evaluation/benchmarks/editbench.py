"""EditBench: 240 pictures, natural and generated, each with a mask and three prompts.

A folder holds `annotations_{natural,generated}.csv` with the columns `aos`, `prompt_full`, `prompt_mask-simple` and
`prompt_mask-rich`, and for each `aos` a PNG in `references_*` and one in `masks_*`. The copy by BrushNet's authors
(`mapping_file.json`) is read as `brushbench` reads it: its runs are what to generate. Which colour the masks of the
original are where to generate is checked.
Source: Imagen Editor and EditBench (arXiv 2212.06909), whose masks cover less than half of most pictures.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from byteedit.evaluation.benchmarks.brushbench import read_brushbench
from byteedit.evaluation.benchmarks.case import EditCase, coverage, open_mask, open_picture

__all__ = ["read_editbench"]

HALVES = ("natural", "generated")
PROMPTS = {"full": "prompt_full", "simple": "prompt_mask-simple", "rich": "prompt_mask-rich"}
UNSURE = (0.45, 0.55)  # mean coverage between which the masks' polarity is not evident


def read_editbench(folder: str | None, *, white: Literal["auto", "generate", "keep"] = "auto") -> list[EditCase]:
    """The cases of an EditBench folder; ids are "natural-AOS" and "generated-AOS", or the keys of the copy.

    Args:
        folder: where it lies.
        white: what white in its masks says, or what the runs of the copy do; "auto" finds out: less than half of the
            pictures is to be generated, and so are the runs of the copy.

    Raises:
        ValueError: the folder is of neither layout, or the polarity of the masks that can be read is not evident.
    """
    root = Path(folder or ".")
    if (root / "mapping_file.json").is_file():
        cases, white = read_brushbench(folder), "generate" if white == "auto" else white
    else:
        rows = [(half, row) for half in HALVES for row in _rows(root / f"annotations_{half}.csv")]
        if not rows:
            raise ValueError(f"{root} is no EditBench: it has neither annotations_natural.csv nor mapping_file.json.")
        cases = [_case(root, half, row, seed) for seed, (half, row) in enumerate(rows)]
        white = _polarity(cases) if white == "auto" else white
    return [_turned(case, white) for case in cases]


def _rows(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    with open(file, encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    wanted = {"aos", *PROMPTS.values()}
    if rows and (missing := wanted - rows[0].keys()):
        raise ValueError(f"{file} has no column {', '.join(sorted(missing))}; it has {', '.join(rows[0])}.")
    return rows


def _polarity(cases: Sequence[EditCase]) -> str:
    """What white in the masks says, by those that can be read: "generate" or "keep"."""
    shares, unreadable = coverage(cases)
    if not len(shares):
        raise ValueError(f"none of EditBench's {len(cases)} masks can be read, the first of {unreadable[0]}")
    share = float(shares.mean())
    if UNSURE[0] < share < UNSURE[1]:
        raise ValueError(
            f"EditBench's masks are white over {share:.0%} of the pictures, so it is not evident what white says;"
            " look at one and add white=generate or white=keep."
        )
    return "keep" if share > 0.5 else "generate"


def _case(root: Path, half: str, row: dict[str, str], seed: int) -> EditCase:
    others = {name: value for name, value in row.items() if name not in PROMPTS.values()}
    return EditCase(
        id=f"{half}-{row['aos']}",
        task="editing",
        seed=seed,
        read_page=partial(open_picture, root / f"references_{half}" / f"{row['aos']}.png"),
        read_mask=partial(open_mask, root / f"masks_{half}" / f"{row['aos']}.png"),
        prompts={kind: row[column] for kind, column in PROMPTS.items()},
        attributes={"half": half, **others},
    )


def _turned(case: EditCase, white: str) -> EditCase:
    """The case with its mask white where to generate, and with what white in it said."""
    read = partial(_inverted, case.read_mask) if white == "keep" else case.read_mask
    return replace(case, read_mask=read, attributes={**case.attributes, "white": white})


def _inverted(read_mask: Callable[[], np.ndarray]) -> np.ndarray:  # (H, W) uint8
    return 255 - read_mask()
