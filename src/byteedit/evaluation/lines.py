"""What a run keeps of a system: a line for each case, and the figures that come of them.

Figures can be made of them anew at any time, with the same result. numpy only.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from byteedit.evaluation import TASKS
from byteedit.evaluation.figures import Figure, mean, rate
from byteedit.evaluation.scores.pixels import extra_contrast
from byteedit.files import reading_ours, write_atomically

__all__ = ["Line", "figures_of", "folder_of", "read_lines", "summarise", "with_seam", "write_lines"]

Line = dict[str, Any]


def folder_of(run: Path, system: str) -> Path:
    """Where a run keeps a system's answers: its label, with dashes for what does not belong in a file's name."""
    return run / re.sub(r"[^\w.=]+", "-", system).strip("-.")


def read_lines(folder: Path) -> list[Line]:
    """The lines of a system's `scores.jsonl`, in the cases' order; none where there is no such file."""
    file = folder / "scores.jsonl"
    if not file.is_file():
        return []
    with reading_ours(file):
        return [
            json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line
        ]  # not at other breaks


def write_lines(folder: Path, lines: Sequence[Line]) -> None:
    """A system's `scores.jsonl`."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_atomically(folder / "scores.jsonl", text.encode())


def summarise(lines: Sequence[Line]) -> dict[str, Figure]:
    """Figures of a system's lines, as "TASK.SCORE": rates of what is true or false, else means, with intervals.

    `seam` is what `with_seam` makes of it, of cases whose right answer is known. Where it is of none, what is measured
    across the mask's border is `border_contrast`. What a line lacks is left out.
    """
    found = {}
    for task in TASKS:
        mine = [line for line in lines if line["task"] == task and "error" not in line]
        for name in dict.fromkeys(key for line in mine for key in line["scores"]):
            having = [with_seam(line["scores"]) for line in mine if name in line["scores"]]
            values = [scores[name] for scores in having]
            if name == "seam":
                known = [scores["seam"] for scores in having if "seam_true" in scores]
                found |= {f"{task}.seam": mean(known)} if known else {f"{task}.border_contrast": mean(values)}
            elif all(isinstance(value, bool) for value in values):
                found[f"{task}.{name}"] = rate(values)
            elif all(isinstance(value, int | float) for value in values):
                found[f"{task}.{name}"] = mean(values)
    return found


def with_seam(scores: dict[str, Any]) -> dict[str, Any]:
    """A line's scores, with the `extra_contrast` of `seam` beyond `seam_true` in its place, where that is known."""
    if not {"seam", "seam_true"} <= scores.keys():
        return scores
    return scores | {"seam": extra_contrast(scores["seam"], scores["seam_true"])}


def figures_of(folder: Path) -> dict[str, Figure]:
    """All figures of a system's folder: `summarise` of its lines, and distances of sets, which have no interval."""
    file = folder / "sets.json"
    sets = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return summarise(read_lines(folder)) | {
        f"{task}.{name}": Figure(value=value, low=value, high=value, n=int(numbers["n"]))
        for found in sets.values()
        for task, numbers in found.items()
        for name, value in numbers.items()
        if name != "n"
    }
