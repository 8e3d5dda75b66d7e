"""Try PictureBench's gold judge on answers of known worth: how often it says right of true ones, and of wrong ones.

`--record` files the figures in docs/results.json.

    python examples/picturebook/try_judge.py --record
"""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro
from tqdm import tqdm
from trials import TRUE, WRONG

from byteedit.evaluation.figures import Figure, rate
from byteedit.evaluation.judge import edit_right, object_found
from byteedit.evaluation.picturebench import COUNT, cases

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
from results import filing


@dataclass(frozen=True, kw_only=True)
class Settings:
    limit: int = COUNT
    """How many cases of each task; only all of them can be recorded."""
    record: bool = False
    """File the figures in docs/results.json."""

    def __post_init__(self):
        if self.record and self.limit < COUNT:
            raise ValueError(f"limit is {self.limit}; all cases of each task are recorded, or none.")


def tried(limit: int) -> Iterator[tuple[str, Figure]]:
    """How often the judge says right, for every trial, over the edits; and whether it sees things come and go."""
    edits = cases("editing")[:limit]
    for name, trial in (TRUE | WRONG).items():
        yield f"{name}_right", rate(edit_right(case, trial(case)) for case in tqdm(edits, name))
    erasures, extended = cases("erasing")[:limit], [c for c in cases("outpainting")[:limit] if c.target]
    yield "unedited_right", rate(edit_right(case, case.image) for case in tqdm(edits, "unedited"))
    yield "erased_found", rate(object_found(case, case.picture) for case in tqdm(erasures, "erased"))
    yield "unerased_found", rate(object_found(case, case.image) for case in tqdm(erasures, "unerased"))
    yield "extended_right", rate(edit_right(case, case.picture) for case in tqdm(extended, "extended"))
    yield "unextended_right", rate(edit_right(case, case.background) for case in tqdm(extended, "unextended"))


def main(settings: Settings) -> None:
    file = filing(settings.record)
    for key, figure in tried(settings.limit):
        file(f"picturebench.judge.{key}", **asdict(figure))


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
