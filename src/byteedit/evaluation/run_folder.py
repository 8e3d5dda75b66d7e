"""What a run writes beside its answers, each file at once or not at all, and that a run goes on only as it began.

`run.json` and every `system.json` hold settings; a run that would go on with others is refused. `run.json` also keeps
notes: the versions of packages, what measured, and which score each name of a number is from.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from byteedit.files import write_atomically

__all__ = ["RUN", "claim", "claim_names", "owned", "write_json"]

RUN = "run.json"
NOTES = ("versions", "scores", "names")


def claim(file: Path, settings: dict[str, Any], **notes: Any) -> None:
    """Write settings, or make sure that those that are there are the same; notes are kept of every time they differ.

    Raises:
        ValueError: the file holds other settings.
    """
    settings = json.loads(json.dumps(settings))
    earlier = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    kept = {name: earlier[name] for name in NOTES if notes and name in earlier}
    before = {name: value for name, value in earlier.items() if name not in kept}
    if before and before != settings:
        name = next(name for name in settings | before if before.get(name) != settings.get(name))
        raise ValueError(
            f"{file.parent} was made with {name} {before.get(name)!r}, now it is {settings.get(name)!r};"
            " choose another folder, or go on as it was begun."
        )
    for name, note in notes.items():
        kept[name] = kept.get(name, []) + ([note] if note not in kept.get(name, []) else [])
    write_json(file, settings | kept)


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


def write_json(file: Path, content: Any) -> None:
    """A JSON file for readers."""
    write_atomically(file, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
