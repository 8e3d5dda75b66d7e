"""A run: a benchmark's cases through systems and scores, all of it kept, so that a run that was stopped goes on.

A run's folder holds `run.json` (benchmark, seed, versions, what measured), `figures.json` and for each system a folder
with `system.json`, the answers as ID.png, `scores.jsonl` with a line a case, and `sets.json`. Such a folder is a system
itself: `folder:RUN/SYSTEM`. A failing case is a line with its `error` and ends nothing; going on tries it again.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from byteedit.evaluation import TASKS
from byteedit.evaluation.benchmarks import EditCase, asking, describe, open_benchmark
from byteedit.evaluation.benchmarks.case import open_picture, reason
from byteedit.evaluation.benchmarks.picturebench import PictureBenchCase
from byteedit.evaluation.figures import Figure, plain
from byteedit.evaluation.lines import Line, figures_of, folder_of, read_lines, write_lines
from byteedit.evaluation.naming import check_named, labelled, parse
from byteedit.evaluation.run_folder import NOTES, RUN, claim_names, keep_note, owned
from byteedit.evaluation.scores.opening import SCORES, open_score
from byteedit.evaluation.scores.views import Score
from byteedit.evaluation.systems import SYSTEMS, System, answer_to, open_system
from byteedit.files import alone, claim, png, write_atomically, write_json
from byteedit.provenance import versions

__all__ = ["RunSettings", "evaluate"]

PIXELS, GOLD = "pixels", "gold"  # scores that are always there, the second on PictureBench
ALWAYS = dict.fromkeys((PIXELS, GOLD), "pixels and gold")  # they say the same of what both know
BATCH = 16  # cases that are scored at once


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What is run. A run may go on with more systems and scores; all else must stay."""

    benchmark: str
    """As `open_benchmark` takes it, such as "editbench:DIR"."""

    systems: tuple[str, ...]
    """As `open_system` takes them, or with a label before it, "LABEL=NAME:PLACE"."""

    output: Path
    """The run's folder."""

    scores: tuple[str, ...] = ()
    """As `open_score` takes them, beside `pixels` and, on PictureBench, `gold`, which are always there."""

    prompt: str | None = None
    """The kind of prompt that systems are asked for: full, simple or rich; None: the benchmark's first."""

    seed: int = 0
    """Added to the seed of every case."""

    limit: int | None = None
    """Only the first so many cases of each task."""

    device: str = "cpu"
    """Where models run."""


def evaluate(settings: RunSettings, say: Callable[[str], None] = print) -> dict[str, dict[str, Figure]]:
    """Make or go on with a run, and return its figures by system and name; they are written, too.

    `say` is told what there is, what measures, and which cases failed.

    Raises:
        ValueError: what was asked for is not there, or the folder holds a run with other settings.
    """
    systems = _labelled(settings.systems)
    _check(settings, systems.values())
    cases = _cases(settings)
    settings.output.mkdir(parents=True, exist_ok=True)
    with alone(settings.output, "evaluate"):
        return _evaluated(settings, systems, cases, say)


def _evaluated(
    settings: RunSettings, systems: dict[str, str], cases: Sequence[EditCase], say: Callable[[str], None]
) -> dict[str, dict[str, Figure]]:
    """As `evaluate`, alone in the folder. A system or score that fails as a whole is passed over, and raised when all
    else is written."""
    say(f"{settings.benchmark}: {describe(cases)}")
    told, failures = settings.output / RUN, []
    claim(settings.output, _identity(settings, cases), RUN, NOTES)
    keep_note(told, "versions", versions())
    folders = {label: folder_of(settings.output, label) for label in systems}
    for label, text in systems.items():
        with _noting(failures, text):
            _answer(open_system(text, settings.device), cases, folders[label])
    folders = {label: folder for label, folder in folders.items() if (folder / "system.json").is_file()}
    for text in _scores(settings, cases):
        with _noting(failures, text):
            score = open_score(text, settings.device)
            say(score.about)
            keep_note(told, "scores", score.about)
            for folder in folders.values():
                if score.over_set:
                    _measure_set(score, text, cases, folder, say)
                else:
                    _measure(score, text, cases, folder)
    figures = {label: figures_of(folder) for label, folder in folders.items()}
    _write_figures(settings.output / "figures.json", figures)
    for label, folder in folders.items():
        failures += _tell(label, read_lines(folder), say)
    if failures:
        raise ValueError("; ".join(failures))
    return figures


@contextmanager
def _noting(failures: list[str], text: str) -> Iterator[None]:
    """Note what makes a system or a score fail, such as that it cannot be opened, or has other weights than before."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        failures.append(reason(error) if text in str(error) else f"{text}: {reason(error)}")


def _labelled(texts: Sequence[str]) -> dict[str, str]:
    """Systems as they are opened, by label."""
    pairs = dict(labelled(text) for text in texts)
    if files := {RUN, "figures.json"} & {folder_of(Path(), label).name for label in pairs}:
        raise ValueError(f"{files.pop()} is a file of the run's own; give the system another label.")
    if len({folder_of(Path(), label) for label in pairs}) < len(texts):
        raise ValueError(f"several of {', '.join(texts)} have the same name; give each a label, as in ours=byteedit.")
    return pairs


def _check(settings: RunSettings, systems: Iterable[str]) -> None:
    """Raise ValueError for a name or option that is wrong, before hours go into those that are right."""
    if settings.limit is not None and settings.limit < 1:
        raise ValueError(f"limit is {settings.limit}; take 1 or more cases of each task.")
    for text in systems:
        place, _ = check_named(SYSTEMS, text, "system")
        if parse(text)[0] == "folder" and not Path(place or ".").is_dir():
            raise ValueError(f"there is no folder {place}; name one that holds a system's answers.")
    for text in settings.scores:
        check_named(SCORES, text, "score")


def _write_figures(file: Path, figures: dict[str, dict[str, Figure]]) -> None:
    """Figures by system, beside those of the systems that were run before."""
    earlier = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    write_json(file, earlier | {system: plain(found) for system, found in figures.items()})


def _cases(settings: RunSettings) -> list[EditCase]:
    cases = asking(open_benchmark(settings.benchmark), settings.prompt)
    chosen = [case for task in TASKS for case in [c for c in cases if c.task == task][: settings.limit]]
    return [replace(case, seed=case.seed + settings.seed) for case in chosen]


def _scores(settings: RunSettings, cases: Sequence[EditCase]) -> list[str]:
    gold = [GOLD] if all(isinstance(case, PictureBenchCase) for case in cases) else []
    return list(dict.fromkeys([PIXELS, *gold, *settings.scores]))


def _identity(settings: RunSettings, cases: Sequence[EditCase]) -> dict[str, Any]:
    asked = [[case.id, case.task, case.seed, case.prompt] for case in cases]
    digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    told = {"benchmark": settings.benchmark, "prompt": settings.prompt, "seed": settings.seed, "limit": settings.limit}
    return told | {"cases": len(cases), "cases_sha256": digest}


def _answer(system: System, cases: Sequence[EditCase], folder: Path) -> None:
    """A system's answers to the cases that it has not answered yet, each written as soon as it is there."""
    claim(folder, dict(system.settings), "system.json")
    lines = {line["id"]: line for line in read_lines(folder)}
    able = [case for case in cases if case.task in system.tasks]
    made_from = {case.id: _pictures(case) for case in able}
    todo = [case for case in able if not _answered(lines.get(case.id), folder, made_from[case.id], system, case)]
    if todo:
        (folder / "sets.json").unlink(missing_ok=True)  # its distances are of the answers that were there
    for case in tqdm(todo, folder.name, leave=False, disable=None):
        began = time.perf_counter()
        line = {"id": case.id, "task": case.task, "prompt": case.prompt, "seed": case.seed}
        line |= {"attributes": dict(case.attributes), "pictures": made_from[case.id], "scores": {}, "by": []}
        try:
            write_atomically(folder / f"{case.id}.png", png(Image.fromarray(answer_to(system, case))))
            stamp = system.stamp(case)
        except Exception as error:  # one case must not end a run of hundreds
            lines[case.id] = line | {"error": reason(error)}
        else:
            line |= {"stamp": stamp} if stamp else {}
            lines[case.id] = line | {"seconds": round(time.perf_counter() - began, 3)}
        write_lines(folder, [lines[c.id] for c in able if c.id in lines])


def _pictures(case: EditCase) -> str | None:
    """What tells a case's page, mask and right answer from corrected ones; None where they cannot be read."""
    try:
        parts = [case.page, case.mask, *([] if case.reference is None else [case.reference])]
    except Exception:  # what answers the case will say so
        return None
    told = hashlib.sha256()
    for part in parts:
        told.update(repr(part.shape).encode() + np.ascontiguousarray(part).tobytes())
    return told.hexdigest()[:16]


def _answered(line: Line | None, folder: Path, pictures: str | None, system: System, case: EditCase) -> bool:
    """Whether a case has an answer that still holds."""
    if line is None or "error" in line or line.get("pictures", pictures) != pictures:
        return False
    return line.get("stamp") == system.stamp(case) and (folder / f"{case.id}.png").is_file()


def _measure(score: Score, text: str, cases: Sequence[EditCase], folder: Path) -> None:
    """One score of those of a system's answers that it has not measured yet, with these weights."""
    lines, told = read_lines(folder), folder.parent / RUN
    by_id = {case.id: case for case in cases}
    by = f"{text} {score.weights[:12]}" if score.weights else text
    todo = [line for line in lines if "error" not in line and by not in line["by"]]
    for first in tqdm(range(0, len(todo), BATCH), f"{folder.name} {text}", leave=False, disable=None):
        part = todo[first : first + BATCH]
        for line, numbers in zip(part, _measured(score, [by_id[line["id"]] for line in part], folder), strict=True):
            line["by"] = [other for other in line["by"] if other != text and not other.startswith(f"{text} ")]
            if isinstance(numbers, str):  # and what it said with other weights holds no longer
                line["scores"] = {n: value for n, value in line["scores"].items() if n not in owned(told, text)}
                line["unscored"] = line.get("unscored", {}) | {text: numbers}
                continue
            claim_names(told, numbers, ALWAYS.get(text, text))
            line["scores"] |= numbers
            line["by"] += [by]
            line.get("unscored", {}).pop(text, None)
        write_lines(folder, lines)


def _measured(score: Score, cases: Sequence[EditCase], folder: Path) -> Iterator[dict[str, Any] | str]:
    """Numbers for each case, or why there are none: all at once, and where that fails, one by one."""
    try:
        yield from score.measure(cases, [open_picture(folder / f"{case.id}.png") for case in cases])
    except Exception as error:  # one case must not end a run of hundreds
        if len(cases) == 1:
            yield reason(error)
        else:
            for case in cases:
                yield from _measured(score, [case], folder)


def _measure_set(score: Score, text: str, cases: Sequence[EditCase], folder: Path, say: Callable[[str], None]) -> None:
    """One score of all of a system's answers to a task together, but for those that cannot be read, which are said."""
    file, by_id = folder / "sets.json", {case.id: case for case in cases}
    sets = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    found, failed = {}, {}
    for task in TASKS:
        mine = [by_id[line["id"]] for line in read_lines(folder) if line["task"] == task and "error" not in line]
        pairs = []
        for case in mine:
            try:
                _ = case.page, case.reference  # here an error is of one case
                pairs.append((case, open_picture(folder / f"{case.id}.png")))
            except Exception as error:  # one case must not end a run of hundreds
                failed[case.id] = reason(error)
        if len(pairs) > 1:
            found |= {task: score.measure(*zip(*pairs, strict=True))[0]}
        elif mine:
            failed |= {case.id: f"{task} has fewer than two answers" for case in mine if case.id not in failed}
    claim_names(folder.parent / RUN, {name for numbers in found.values() for name in numbers if name != "n"}, text)
    write_json(file, sets | {text: found})
    if failed:
        say(f"{folder.name}: {text} leaves out {', '.join(failed)}; the first because {next(iter(failed.values()))}")


def _tell(system: str, lines: Sequence[Line], say: Callable[[str], None]) -> list[str]:
    """Say what there is of a system; returns what is wrong with it as a whole, if anything."""
    tasks = dict.fromkeys(line["task"] for line in lines)
    say(f"{system}: {len(lines)} cases of {', '.join(tasks) or 'no task'}")
    failed = [(line["id"], line["error"]) for line in lines if "error" in line]
    failed += [(line["id"], f"{text}: {why}") for line in lines for text, why in line.get("unscored", {}).items()]
    if failed:
        say(f"  {len(failed)} failed: {', '.join(name for name, _ in failed)}; the first because {failed[0][1]}")
    return [f"{system} answered none of its cases"] if lines and all("error" in line for line in lines) else []
