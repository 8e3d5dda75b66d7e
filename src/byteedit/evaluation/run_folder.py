"""What a run writes beside its answers, each file at once or not at all, and that a run goes on only as it began.

`run.json` and every `system.json` hold settings; a run that would go on with others is refused. `run.json` also keeps
notes: the versions of packages, what measured, and which score each name of a number is from.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from byteedit.files import write_json

__all__ = ["NOTES", "RUN", "claim_names", "keep_note", "owned"]

RUN = "run.json"
NOTES = ("versions", "scores", "names")
"""What `run.json` holds beside settings."""


def keep_note(file: Path, name: str, note: Any) -> None:
    """Add to what a run notes under a name, if it is not there yet."""
    run = json.loads(file.read_text(encoding="utf-8"))
    kept = run.get(name, [])
    if note not in kept:
        write_json(file, run | {name: [*kept, note]})


def claim_names(file: Path, names: Iterable[str], score: str) -> None:
    """Keep which score these names of numbers are from, so that two of a kind never mix in one mean.

    Raises:
        ValueError: one is another score's.
    """
    run = json.loads(file.read_text(encoding="utf-8"))
    owners = run.get("names", {})
    for name in names:
        if owners.get(name, score) != score:
            raise ValueError(
                f"{name} is by {owners[name]} in this run, and would now be by {score}; measure that in a run of its"
                " own, whose system is folder:RUN/SYSTEM."
            )
    if new := {name: score for name in names if name not in owners}:
        write_json(file, run | {"names": owners | new})


def owned(file: Path, score: str) -> set[str]:
    """The names of numbers that are a score's."""
    owners = json.loads(file.read_text(encoding="utf-8")).get("names", {})
    return {name for name, owner in owners.items() if owner == score}
