"""ImagenHub's mask-guided edits: 179 turns of MagicBrush with captions of the result and of its masked part.

Rows have the columns `img_id`, `turn_index`, `source_img`, `mask_img`, `instruction`, `source_global_caption`,
`target_global_caption`, `target_local_caption` and `target_img`. The mask is the alpha of `mask_img`: what is not
wholly opaque is to be generated. (Its brightness says something else.)
Source: ImagenHub (arXiv 2310.01596), its dataset card and `rgba_to_01_mask`; MagicBrush (arXiv 2306.10012).
"""

from functools import partial

import numpy as np

from byteedit.evaluation.benchmarks.case import EditCase, open_picture

__all__ = ["read_imagenhub"]

HUB = "ImagenHub/Mask_Guided_Image_Editing"
PICTURES = ("source_img", "mask_img", "target_img")
PROMPTS = {"simple": "target_local_caption", "full": "target_global_caption"}


def read_imagenhub(place: str | None, *, split: str = "filtered") -> list[EditCase]:
    """The cases of ImagenHub's set; ids are "sample_IMG_TURN", as ImagenHub itself names its files.

    Args:
        place: a folder of its Parquet files, or a hub id; None fetches it from the hub.
        split: "filtered" is the benchmark; "dev" and "extra" are the set it was chosen from.

    Raises:
        ValueError: there is no such split, or it has other columns.
    """
    import datasets

    from byteedit.data.sources import open_rows

    rows = open_rows(place or HUB, split)
    texts = ["img_id", "turn_index", "instruction", "source_global_caption", *PROMPTS.values()]
    if missing := {*texts, *PICTURES} - set(rows.column_names):
        raise ValueError(f"{place or HUB} has no column {', '.join(sorted(missing))}.")
    for column in PICTURES:
        rows = rows.cast_column(column, datasets.Image(decode=False))
    return [_case(rows, number, row) for number, row in enumerate(rows.select_columns(texts))]


def _case(rows, number: int, row: dict) -> EditCase:
    return EditCase(
        id=f"sample_{row['img_id']}_{row['turn_index']}",
        task="editing",
        seed=number,
        read_page=partial(_picture, rows, number, "source_img"),
        read_mask=partial(_mask, rows, number),
        read_reference=partial(_picture, rows, number, "target_img"),
        prompts={kind: row[column] for kind, column in PROMPTS.items()},
        attributes={"instruction": row["instruction"], "source": row["source_global_caption"]},
    )


def _picture(rows, number: int, column: str, mode: str = "RGB") -> np.ndarray:
    return open_picture(rows.select_columns([column])[number][column], mode)


def _mask(rows, number: int) -> np.ndarray:  # (H, W) uint8
    opaque = _picture(rows, number, "mask_img", "RGBA")[..., 3] == 255
    return np.where(opaque, 0, 255).astype(np.uint8)
