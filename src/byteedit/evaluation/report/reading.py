"""What a report is made of: the folders that `byteedit evaluate` left, with figures made anew from their lines.

Nothing that differs from one time to the next is read, such as seconds: a run that was killed and gone on with gives
the same report. No pages here.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from byteedit.evaluation.lines import Line, figures_of, folder_of, read_lines
from byteedit.evaluation.naming import parse
from byteedit.evaluation.picturebench import TASKS
from byteedit.evaluation.report.figures import Figure

__all__ = ["JUDGED", "Entry", "Run", "holding", "named", "paired", "read_run"]

JUDGED = "quality"  # the mean of the judge's marks
USUAL = (JUDGED, "clip.full", "blip_itm.full", "psnr.masked", "psnr.unmasked")


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
        """Scores and `task` of every case that was answered, by id."""
        return {line["id"]: line["scores"] | {"task": line["task"]} for line in self.lines if "error" not in line}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of `byteedit evaluate`."""

    folder: Path
    told: dict[str, Any]
    """Its run.json."""

    entries: list[Entry]
    """Its systems, in the order in which they were first run."""

    @property
    def benchmark(self) -> str:
        """The benchmark's name, without its place."""
        return parse(self.told["benchmark"])[0]

    def main_score(self, asked: str | None = None) -> str:
        """The score that answers are compared and ranked by: the one asked for, or else the first usual one there is.

        Raises:
            ValueError: no answer has it.
        """
        there = {name for entry in self.entries for scores in entry.scored().values() for name in scores} - {"task"}
        chosen = asked or next((name for name in USUAL if name in there), None)
        if chosen not in there:
            raise ValueError(
                f"{self.folder} has no score {chosen or 'at all'}; it has {', '.join(sorted(there)) or 'none'}."
            )
        return chosen


def read_run(folder: Path) -> Run:
    """A run's folder.

    Raises:
        ValueError: it is none, or no system has answered anything yet.
    """
    if not (folder / "run.json").is_file():
        raise ValueError(f"{folder} is no run: it has no run.json; name a folder that `byteedit evaluate` wrote.")
    told = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    figures = folder / "figures.json"
    order = [folder_of(folder, text) for text in json.loads(figures.read_text())] if figures.is_file() else []
    there = {file.parent for file in folder.glob("*/system.json")}
    found = [_entry(place) for place in [*dict.fromkeys(p for p in order if p in there), *sorted(there - set(order))]]
    if not any(entry.lines for entry in found):
        raise ValueError(f"{folder} has no answers yet; let `byteedit evaluate` go on with it.")
    return Run(folder=folder, told=told, entries=found)


def _entry(folder: Path) -> Entry:
    settings = json.loads((folder / "system.json").read_text(encoding="utf-8"))
    return Entry(folder=folder, settings=settings, lines=read_lines(folder))


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
    """By task, the scores of the cases for which both have a `score`; a task without such cases is left out."""
    a, b, pairs = ours.scored(), theirs.scored(), defaultdict(list)
    for name in a:
        if score in a[name] and score in b.get(name, {}):
            pairs[a[name]["task"]].append((a[name], b[name]))
    return {task: pairs[task] for task in TASKS if task in pairs}
