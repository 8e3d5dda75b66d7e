"""Making a study: cases and the outputs of systems, read, checked and copied into a folder of its own.

Pictures become PNG under names that follow from their pixels: nothing in a study's file names or their metadata tells
whose a picture is. No picture is resized. A folder appears whole or not at all. numpy and PIL only.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.random import Generator

from byteedit.data.images import Unusable, open_image, store
from byteedit.evaluation import TASKS
from byteedit.evaluation.human.planning import Shown, deal, draft, number, sides, spoil
from byteedit.evaluation.human.studies import DAMAGED, Question, Study, StudySettings, open_study, write_study
from byteedit.files import is_file_name, new_folder, png

__all__ = ["StudyCase", "create_study", "damage", "read_cases"]

FEWEST = {"gsb": 2, "scores": 1, "best-worst": 3}
BLOCK = 8  # pixels a side of the blocks that a spoilt picture is made of
LISTED = 20  # cases that an error names
WRITTEN = 10**9  # seconds since 1970, and as zip files know no years before 1980, some in 2001


@dataclass(frozen=True, kw_only=True)
class StudyCase:
    """A line of a cases file."""

    id: str
    """The name of the systems' pictures for it, without .png."""

    task: str = ""
    """"editing", "erasing", "outpainting", or "" where nothing was edited."""

    prompt: str = ""
    """What was asked for; "" for no words."""

    image: Path | None = None
    """The picture before the edit."""

    mask: Path | None = None
    """255 = generated; of the size of the systems' pictures."""


def read_cases(path: str | Path) -> list[StudyCase]:
    """The cases of a JSONL file: `id`, and as far as there are `task`, `prompt`, `image`, `mask`; other keys pass.

    Pictures are named by their path from the file's own folder.

    Raises:
        ValueError: a line is no case, an id comes twice or is no plain file name, or there is no case at all.
    """
    path = Path(path)
    lines = path.read_text(encoding="utf-8").split("\n")
    cases = [_parse(line, f"{path}, line {n}", path.parent) for n, line in enumerate(lines, 1) if line.strip()]
    ids = [case.id for case in cases]
    if not cases or len(set(ids)) < len(ids):
        twice = sorted({id for id in ids if ids.count(id) > 1})
        raise ValueError(f"{path} holds " + (f"{twice[0]} twice; ids must differ." if twice else "no cases."))
    return cases


def _parse(line: str, where: str, folder: Path) -> StudyCase:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: this is no JSON ({error}); expected an object on each line.") from error
    if not isinstance(row, dict) or "id" not in row:
        raise ValueError(f"{where}: expected an object with an id, such as {{'id': 'boat-01', 'task': 'editing'}}.")
    name, task = str(row["id"]), row.get("task") or ""
    if not is_file_name(name):
        raise ValueError(f"{where}: the id {name!r} is no plain file name; give it another, without slashes.")
    if task not in ("", *TASKS):
        raise ValueError(f"{where}: the task is {task!r}; it must be one of {', '.join(TASKS)}, or left out.")
    for key in ("image", "mask", "prompt"):
        if not isinstance(row.get(key) or "", str):
            raise ValueError(f"{where}: {key} is {row[key]!r}; expected words.")
    image, mask = (folder / row[key] if row.get(key) else None for key in ("image", "mask"))
    return StudyCase(id=name, task=task, prompt=row.get("prompt") or "", image=image, mask=mask)


def create_study(
    output: str | Path,
    cases: Sequence[StudyCase],
    systems: dict[str, Path],
    settings: StudySettings,
    *,
    skip_missing: bool = False,
) -> Study:
    """Make a study in the new folder `output`, and open it.

    A case can be shown if every system has a picture of it (`FOLDER/ID.png`) and these have one size, which is the
    mask's too where there is one, and the input's unless the task is outpainting.

    Args:
        output: Must not exist yet.
        cases: As `read_cases` gives them.
        systems: Folder of each system's pictures by the system's name; gsb compares the first with each of the others.
        settings: What is asked, and of how many.
        skip_missing: Leave out cases that cannot be shown, and note why, instead of refusing them.

    Raises:
        ValueError: `output` exists, there are too few systems, a case cannot be shown, or too few cases are left.
    """
    output = Path(output)
    _check(output, cases, systems, settings)
    with new_folder(output) as folder:
        for name in ("pictures", "answers"):
            (folder / name).mkdir()
        shown, left_out = _copy(cases, systems, folder)
        if left_out and not (skip_missing and shown):
            raise ValueError(_complaint(left_out, len(cases)))
        if not all(settings.asked_of(case.task) for case in shown):
            raise ValueError("aesthetics are not asked of an erasure; add an axis, or leave erasures out.")
        rng = np.random.default_rng(settings.seed)
        questions = draft(shown, list(systems), settings.kind, rng)
        questions = [replace(question, axes=settings.asked_of(question.task)) for question in questions]
        questions = number([*questions, *_checks(questions, list(systems), settings, folder, rng)], rng)
        study = Study(
            folder=folder,
            settings=settings,
            systems={name: str(place) for name, place in systems.items()},
            left_out=left_out,
            places=deal(questions, settings.raters, settings.votes, rng),
            questions={question.id: question for question in questions},
        )
        write_study(study, datetime.now(UTC).isoformat(timespec="seconds"))
    return open_study(output)


def _check(output: Path, cases: Sequence[StudyCase], systems: dict[str, Path], settings: StudySettings) -> None:
    if output.exists():
        raise ValueError(f"{output} exists; a study is made once. Take another folder, or delete it.")
    if not cases:
        raise ValueError("there are no cases to be shown.")
    if len(systems) < FEWEST[settings.kind]:
        raise ValueError(f"{len(systems)} systems for {settings.kind}, which needs {FEWEST[settings.kind]} or more.")
    if DAMAGED in systems:
        raise ValueError(f"no system may be called {DAMAGED!r}, which is what spoilt pictures are called.")
    if missing := [str(folder) for folder in systems.values() if not folder.is_dir()]:
        raise ValueError(f"there is no folder {missing[0]}.")


def _copy(cases: Sequence[StudyCase], systems: dict[str, Path], folder: Path) -> tuple[list[Shown], dict[str, str]]:
    """The cases that can be shown, their pictures copied into `folder`, and why the others cannot."""
    shown, left_out = [], {}
    for case in cases:
        try:
            outputs = {name: _open(place / f"{case.id}.png", name) for name, place in systems.items()}
            image, mask = _open(case.image, "the input"), _open(case.mask, "the mask", "L")
            _compare_sizes(case, outputs, image, mask)
        except Unusable as reason:
            left_out[case.id] = str(reason)
            continue
        shown.append(
            Shown(
                case=case.id,
                task=case.task,
                prompt=case.prompt,
                image=image and _keep(image, folder),
                mask=mask and _keep(mask, folder),
                pictures={name: _keep(picture, folder) for name, picture in outputs.items()},
            )
        )
    return shown, left_out


def _open(path: Path | None, whose: str, mode: str = "RGB") -> PIL.Image.Image | None:
    """A picture; None where the case has none. Raises Unusable in words."""
    if path is None:
        return None
    try:
        return open_image(store(path), mode)
    except Unusable as reason:
        raise Unusable(f"{whose}: {reason}, {path}") from reason


def _compare_sizes(case: StudyCase, outputs: dict, image, mask) -> None:
    before = {} if image is None or case.task == "outpainting" else {"the input": image}
    pictures = outputs | before | ({} if mask is None else {"the mask": mask})
    if len({picture.size for picture in pictures.values()}) > 1:
        listed = (f"{name} {picture.width} x {picture.height}" for name, picture in pictures.items())
        raise Unusable(f"sizes differ, {', '.join(listed)}")


def _keep(picture: PIL.Image.Image, folder: Path) -> str:
    """Write a picture as PNG under a name that follows from its content; the same picture is kept once.

    All have one time, or that of writing would tell whose a picture is: a case's are written one system after another.
    """
    content = png(PIL.Image.fromarray(np.asarray(picture)))  # pixels only
    name = f"pictures/{hashlib.sha256(content).hexdigest()[:20]}.png"
    (folder / name).write_bytes(content)
    os.utime(folder / name, (WRITTEN, WRITTEN))
    return name


def _complaint(left_out: dict[str, str], count: int) -> str:
    listed = "; ".join(f"{case} ({reason})" for case, reason in list(left_out.items())[:LISTED])
    more = f" and {len(left_out) - LISTED} more" if len(left_out) > LISTED else ""
    return (
        f"{len(left_out)} of {count} cases cannot be shown: {listed}{more}. Add what is missing, make the sizes equal, "
        "or leave these cases out with skip_missing."
    )


def _checks(
    questions: list[Question], systems: list[str], settings: StudySettings, folder: Path, rng: Generator
) -> list[Question]:
    """Attention checks: some of the questions once more, one picture of each spoilt.

    Each place is spoilt as often as another, but for one check, so that nobody passes them all by always answering the
    same place. In gsb the first system's picture is spoilt in all but one of as many checks as there are systems: it
    stands in every pair of a case, so its sound picture would come again to a rater more often than another's.
    """
    count = settings.attention
    if count > len(questions):
        raise ValueError(f"{count} attention checks for {len(questions)} questions; ask for fewer.")
    checks, left = [], rng.permutation(len(questions)).tolist()
    places, spared = sides(len(questions[0].pictures), rng), sides(len(systems), rng)
    for (position, *_), (spare, *_) in zip(islice(places, count), spared, strict=False):
        ours = [questions[i].systems[position] == systems[0] for i in left]
        suited = [i for i, first in zip(left, ours, strict=True) if settings.kind != "gsb" or first == (spare > 0)]
        left.remove(i := (suited or left)[0])
        question = questions[i]
        pixels = np.asarray(PIL.Image.open(folder / question.pictures[position]))
        mask = np.asarray(PIL.Image.open(folder / question.mask)) if question.mask else None
        spoilt = _keep(PIL.Image.fromarray(damage(pixels, mask, rng)), folder)
        checks.append(spoil(question, position + 1, spoilt))
    return checks


def damage(pixels: np.ndarray, mask: np.ndarray | None, rng: Generator) -> np.ndarray:
    """The picture (H, W, 3) uint8 with blocks of random colour where `mask` (H, W) is above 127, or else everywhere.

    Everywhere, too, where the mask is empty: what nobody can see to be spoilt is no check of attention.
    """
    height, width = pixels.shape[:2]
    blocks = rng.integers(0, 256, (-(-height // BLOCK), -(-width // BLOCK), 3), dtype=np.uint8)
    noise = blocks.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)[:height, :width]  # (H, W, 3)
    if mask is None or mask.max() <= 127:
        return noise
    return np.where(mask[..., None] > 127, noise, pixels)
