"""Evaluate a pipeline on PictureBench: 240 edits, 240 erasures and 240 outpaintings, scored by the gold judge.

Every output is kept, with one line of scores a case. `--record` files the figures in docs/results.json and puts sheets
of 24, which the README shows, into docs/images. With `--judge` it is the judge itself that is tried, on true pictures
and on wrong ones.

    python examples/picturebook/evaluate.py --name baseline20 --steps 20 --record
    python examples/picturebook/evaluate.py --judge --record
"""

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from PIL import Image
from tqdm import tqdm

from byteedit.evaluation import TASKS
from byteedit.evaluation.figures import Figure, rate
from byteedit.evaluation.judge import edit_right, object_found
from byteedit.evaluation.picturebench import Case, cases
from byteedit.evaluation.report.sheet import contact_sheet
from byteedit.evaluation.scores.picturebench import judged, summarise
from byteedit.evaluation.trials import TRUE, WRONG

ROOT = Path(__file__).resolve().parents[2]
SHEET = 24  # cases on a contact sheet


@dataclass(frozen=True, kw_only=True)
class Settings:
    model: str | None = None
    """A pipeline's folder; without, the checkpoint that ships with byteedit."""
    name: str = "baseline20"
    """What the figures are filed under: picturebench.NAME.*"""
    steps: int = 20
    """Denoising steps."""
    guidance_scale: float | None = None
    """Strength of classifier-free guidance; without, the checkpoint's own."""
    limit: int = 240
    """How many cases of each task; only all of them can be recorded."""
    batch: int = 8
    """Cases that go through the model at once."""
    device: str = "cpu"
    """Where the model runs, such as "cuda"."""
    output: Path | None = None
    """Folder for pictures and scores; without, .runs/picturebench/NAME."""
    judge: bool = False
    """Try the judge instead of a pipeline."""
    record: bool = False
    """File the figures in docs/results.json, and of a pipeline the README's sheets in docs/images."""

    def __post_init__(self):
        if self.record and self.limit < len(cases("editing")):
            raise ValueError(f"limit is {self.limit}; all cases of each task are recorded, or none.")


def evaluate(pipe, limit: int = 48, output: Path | None = None, batch: int = 8, **settings) -> list[dict]:
    """Scores of the first `limit` cases of each task, one dictionary a case; pictures and scores go to `output`.

    `settings` go to the pipeline (`num_inference_steps`, `guidance_scale`). For a look during training:
    `show(summarise(evaluate(pipe, limit=48, num_inference_steps=20)))`.
    """
    from byteedit.evaluation.systems import answers

    scores = []
    pipe.set_progress_bar_config(disable=True)
    for task in TASKS:
        chosen = cases(task)[:limit]
        for case, image in zip(chosen, tqdm(answers(pipe, chosen, batch, **settings), task, limit), strict=True):
            scores.append({"id": case.id, "task": case.task, "held_out": case.held_out} | judged(case, image))
            if output:
                keep(output, case.id, image, scores[-1])
    return scores


def keep(output: Path, name: str, image: np.ndarray, line: dict) -> None:
    """The picture as a file, and its scores as one more line of scores.jsonl."""
    output.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(output / f"{name}.png")
    with (output / "scores.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def try_judge(limit: int) -> dict[str, Figure]:
    """How often the judge says right, for every trial, over the edits; and whether it sees things come and go."""
    edits = cases("editing")[:limit]
    found = {}
    for name, trial in (TRUE | WRONG).items():
        found[f"{name}_right"] = rate(edit_right(case, trial(case)) for case in tqdm(edits, name))
    erasures, extended = cases("erasing")[:limit], [c for c in cases("outpainting")[:limit] if c.target]
    found["unedited_right"] = rate(edit_right(case, case.image) for case in tqdm(edits, "unedited"))
    found["erased_found"] = rate(object_found(case, case.picture) for case in tqdm(erasures, "erased"))
    found["unerased_found"] = rate(object_found(case, case.image) for case in tqdm(erasures, "unerased"))
    found["extended_right"] = rate(edit_right(case, case.picture) for case in tqdm(extended, "extended"))
    found["unextended_right"] = rate(edit_right(case, case.background) for case in tqdm(extended, "unextended"))
    return found


def show(found: dict[str, Figure]) -> None:
    """A table of figures with their intervals."""
    for key, figure in found.items():
        print(f"{key:28} {figure.value:8.3f}   [{figure.low:.3f}, {figure.high:.3f}]   n = {figure.n}")


def file(prefix: str, found: dict[str, Figure]) -> None:
    """The figures into docs/results.json."""
    sys.path.append(str(ROOT / "benchmarks"))
    from results import record

    command = "python " + shlex.join(sys.argv)
    for key, figure in found.items():
        record(f"{prefix}.{key}", figure.value, figure.low, figure.high, figure.n, command)


def sheets(output: Path, folder: Path) -> None:
    """Contact sheets of 24 cases of each task, spread over all of them, none picked."""
    folder.mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        spread: list[Case] = [cases(task)[10 * n + n % 2] for n in range(SHEET)]
        images = [np.asarray(Image.open(output / f"{case.id}.png")) for case in spread]
        contact_sheet(spread, images).save(folder / f"picturebench_{task}.png", optimize=True)
        print(folder / f"picturebench_{task}.png")


def main(settings: Settings) -> None:
    if settings.judge:
        found, prefix = try_judge(settings.limit), "picturebench.judge"
    else:
        found, prefix = run(settings), f"picturebench.{settings.name}"
    show(found)
    if settings.record:
        file(prefix, found)


def run(settings: Settings) -> dict[str, Figure]:
    """Load the pipeline, take it through the bench, and lay out what it made."""
    import byteedit

    output = settings.output or ROOT / ".runs" / "picturebench" / settings.name
    (output / "scores.jsonl").unlink(missing_ok=True)
    pipe = byteedit.ByteEditInpaintPipeline.from_pretrained(settings.model or byteedit.PICTUREBOOK)
    options = {"num_inference_steps": settings.steps}
    if settings.guidance_scale is not None:
        options["guidance_scale"] = settings.guidance_scale
    scores = evaluate(pipe.to(settings.device), settings.limit, output, settings.batch, **options)
    print(f"pictures and scores of single cases: {output}")
    if settings.record:
        sheets(output, ROOT / "docs" / "images")
    return summarise(scores)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
