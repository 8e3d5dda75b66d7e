"""What a report is made of: folders of runs, with figures made anew from their lines, and of studies with people.

Nothing that differs from one time to the next is read, such as seconds: a run that was killed and gone on with gives
the same report. No pages here.
"""

import fnmatch
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from byteedit.evaluation import TASKS
from byteedit.evaluation.figures import Figure
from byteedit.evaluation.human.studies import open_study
from byteedit.evaluation.human.summary import summarise
from byteedit.evaluation.lines import Line, figures_of, folder_of, read_lines, with_seam
from byteedit.evaluation.naming import parse, short_names
from byteedit.files import reading_ours

__all__ = ["JUDGED", "Entry", "Run", "holding", "named", "paired", "read_run", "read_studies", "told_apart"]

JUDGED = "quality"  # the mean of the judge's marks
WORDED = [f"{score}.{kind}" for score in ("clip", "blip_itm") for kind in ("full", "simple", "rich")]
USUAL = (JUDGED, *WORDED, "reward.*", "pickscore", "psnr.masked")
"""What answers are compared by where nothing else is asked for, the first that there is. All tell of what was
generated, as "psnr.unmasked" does not."""

TOLD = ("benchmark", "prompt", "seed", "limit", "cases", "versions")  # what a report says of a run


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A system in a run."""

    folder: Path
    """Holds its answers, ID.png."""

    settings: dict[str, Any]
    """What it is and how it was set."""

    lines: list[Line]
    """A line a case, in the cases' order."""

    @property
    def name(self) -> str:
        """As the run's folder calls it."""
        return self.folder.name

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """By "TASK.SCORE"."""
        return figures_of(self.folder)

    @property
    def failed(self) -> dict[str, str]:
        """Cases that it did not answer or that were not scored, and why."""
        errors = {line["id"]: line["error"] for line in self.lines if "error" in line}
        unscored = {line["id"]: line["unscored"] for line in self.lines if line.get("unscored")}
        return errors | {case: "; ".join(why.values()) for case, why in unscored.items()}

    def scored(self) -> dict[str, dict[str, Any]]:
        """Those scores that are finite numbers, and the `task`, of every case that was answered, by id."""
        return {line["id"]: _numbers(line) | {"task": line["task"]} for line in self.lines if "error" not in line}


def _numbers(line: Line) -> dict[str, float]:
    scores = with_seam(line["scores"])
    return {n: value for n, value in scores.items() if isinstance(value, int | float) and math.isfinite(value)}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of `byteedit evaluate`."""

    folder: Path
    told: dict[str, Any]
    """Its run.json."""

    entries: list[Entry]
    """Its systems, in the order in which they were first run."""

    apart: str = ""
    """What tells it from other runs of its benchmark in a report; "" where there are none."""

    @property
    def benchmark(self) -> str:
        """The benchmark's name, without its place."""
        return parse(self.told["benchmark"])[0]

    @property
    def label(self) -> str:
        """What a report calls its benchmark."""
        return f"{self.benchmark} ({self.apart})" if self.apart else self.benchmark

    @cached_property
    def scores(self) -> set[str]:
        """The scores that some answer has as a number."""
        return {name for entry in self.entries for scores in entry.scored().values() for name in scores} - {"task"}

    def main_score(self, asked: str | None = None) -> str | None:
        """The score that answers are compared and ranked by: the one asked for, or else the first usual one there is.

        None where no answer has it.
        """
        if asked:
            return asked if asked in self.scores else None
        return next((name for kind in USUAL for name in fnmatch.filter(sorted(self.scores), kind)), None)


def read_run(folder: Path) -> Run:
    """A run's folder.

    Raises:
        ValueError: it is none, or a file of it is cut off, or no system has answered anything yet.
    """
    if not (folder / "run.json").is_file():
        raise ValueError(f"{folder} is no run: it has no run.json; name a folder that `byteedit evaluate` wrote.")
    with reading_ours(folder / "run.json"):
        told = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        told |= {name: told[name] for name in TOLD}
        parse(told["benchmark"])
    figures = folder / "figures.json"
    with reading_ours(figures):
        order = [folder_of(folder, text) for text in json.loads(figures.read_text())] if figures.is_file() else []
    there = {file.parent for file in folder.glob("*/system.json")}
    found = [_entry(place) for place in [*dict.fromkeys(p for p in order if p in there), *sorted(there - set(order))]]
    if not any(entry.lines for entry in found):
        raise ValueError(f"{folder} has no answers yet; let `byteedit evaluate` go on with it.")
    return Run(folder=folder, told=told, entries=found)


def _entry(folder: Path) -> Entry:
    with reading_ours(folder / "system.json"):
        settings = dict(json.loads((folder / "system.json").read_text(encoding="utf-8")).items())
    return Entry(folder=folder, settings=settings, lines=read_lines(folder))


def told_apart(runs: Sequence[Run]) -> list[Run]:
    """The runs, each once; those that share a benchmark know what tells them apart: what was asked, else the folder."""
    runs, found = list({run.folder: run for run in runs}.values()), {}
    for benchmark in dict.fromkeys(run.benchmark for run in runs):
        group = [run for run in runs if run.benchmark == benchmark]
        found |= zip([run.folder for run in group], _differences(group), strict=True)
    return [replace(run, apart=found[run.folder]) for run in runs]


def _differences(group: Sequence[Run]) -> list[str]:
    asked = [_asked(run) for run in group]
    differing = [[word for key, word in of.items() if any(o.get(key) != word for o in asked)] for of in asked]
    names = short_names([run.folder.parts for run in group])
    return [
        ", ".join(words if differing.count(words) == 1 else [*words, name])
        for words, name in zip(differing, names, strict=True)
    ]


def _asked(run: Run) -> dict[str, str]:
    """What was asked of a run, in words, by what it is."""
    _, place, options = parse(run.told["benchmark"])
    found = {"place": Path(place).name} if place else {}
    found |= {name: f"{name}={value}" for name, value in options.items()}
    told = {name: run.told[name] for name in ("prompt", "seed", "limit")}
    return found | {name: f"{name} {value}" for name, value in told.items() if value is not None}


def read_studies(folders: Sequence[Path], min_attention: float = 0.0) -> list[dict]:
    """Studies as `human.summary` summarises them, each under a name of its own.

    Args:
        min_attention: as for `summarise`.

    Raises:
        ValueError: a folder is no study, has no answers that count, or no attention checks for `min_attention`.
    """
    summaries = [summarise(open_study(folder), min_attention) for folder in folders]
    return [
        summary | {"study": summary["study"] | {"folder": name}}
        for summary, name in zip(summaries, short_names([folder.parts for folder in folders]), strict=True)
    ]


def named(run: Run, name: str) -> Entry | None:
    """A run's system by name, None where it has none of it."""
    return next((entry for entry in run.entries if entry.name == name), None)


def holding(runs: Sequence[Run], *names: str) -> list[Run]:
    """The runs that have all these systems. Raises `ValueError` where none has."""
    found = [run for run in runs if all(named(run, name) for name in names)]
    if not found:
        there = dict.fromkeys(entry.name for run in runs for entry in run.entries)
        raise ValueError(f"no run has {' and '.join(names)}; there are {', '.join(there)}.")
    return found


def paired(ours: Entry, theirs: Entry, score: str) -> dict[str, list[tuple[dict, dict]]]:
    """By task, the numbers of the cases for which both have a `score`; a task without such cases is left out."""
    a, b, pairs = ours.scored(), theirs.scored(), defaultdict(list)
    for name in a:
        if score in a[name] and score in b.get(name, {}):
            pairs[a[name]["task"]].append((a[name], b[name]))
    return {task: pairs[task] for task in TASKS if task in pairs}
