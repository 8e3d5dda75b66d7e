"""The worst and the best answers of a system, and pictures of them, small enough to lie in a page.

Which they are is one score's word; none is picked by hand. The input has the mask's outline drawn on it.
"""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from byteedit.evaluation import TASKS
from byteedit.evaluation.benchmarks import EditCase, asking, open_benchmark
from byteedit.evaluation.benchmarks.case import open_picture
from byteedit.evaluation.report.reading import Entry, Run
from byteedit.evaluation.report.sheet import TINT
from byteedit.evaluation.report.tables import LOWER
from byteedit.masks import dilate

__all__ = ["Shown", "cases_of", "extremes", "show"]

SIDE = 288  # pixels of the longest side of a picture in a page


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An answer to be shown, its score, and whether it is among the best or the worst."""

    case: str
    task: str
    prompt: str | None
    value: float
    best: bool


def extremes(entry: Entry, score: str, number: int) -> list[Shown]:
    """The `number` best and the `number` worst answers of each task, the best first; those of few cases once only."""
    values = {case: scores[score] for case, scores in entry.scored().items() if score in scores}
    chosen = []
    for task in TASKS:
        mine = [line for line in entry.lines if line["task"] == task and line["id"] in values]
        mine.sort(key=lambda line: (values[line["id"]] * (1 if score in LOWER else -1), line["id"]))
        best, worst = mine[:number], mine[max(number, len(mine) - number) :]
        chosen += [_shown(line, score, True) for line in best] + [_shown(line, score, False) for line in worst]
    return chosen


def _shown(line: dict, score: str, best: bool) -> Shown:
    return Shown(
        case=line["id"], task=line["task"], prompt=line["prompt"], value=float(line["scores"][score]), best=best
    )


def cases_of(run: Run) -> dict[str, EditCase]:
    """The run's cases by id, read again from its benchmark.

    Raises:
        ValueError: the benchmark is no longer where it was.
    """
    try:
        cases = asking(open_benchmark(run.told["benchmark"]), run.told["prompt"])
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{run.folder}: its inputs cannot be shown, for {error} Put the benchmark back, or leave pictures out"
            " (--pictures 0)."
        ) from error
    return {case.id: case for case in cases}


def show(case: EditCase, entry: Entry) -> Iterator[tuple[str, tuple[int, int]]]:
    """The input and the answer as data URIs, each with its width and height.

    Raises:
        ValueError: a picture cannot be read, or the input and its mask differ in size.
    """
    answer = open_picture(entry.folder / f"{case.id}.png")
    size = _size(answer.shape[:2])
    yield _uri(_outlined(case, size)), size
    yield _uri(Image.fromarray(answer).resize(size, Resampling.LANCZOS)), size


def _size(shape: Sequence[int]) -> tuple[int, int]:
    scale = SIDE / max(shape)
    return max(round(shape[1] * scale), 1), max(round(shape[0] * scale), 1)


def _outlined(case: EditCase, size: tuple[int, int]) -> Image.Image:
    page = np.array(Image.fromarray(case.page).resize(size, Resampling.LANCZOS))
    mask = np.asarray(Image.fromarray(case.mask).resize(size, Resampling.NEAREST))
    inside = np.where(mask > 127, 255, 0).astype(np.uint8)
    page[(inside > 0) & (dilate(255 - inside, 2) > 0)] = TINT
    return Image.fromarray(page)


def _uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=82, method=6)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
