"""Benchmarks of masked editing, each read from its own layout into a list of `EditCase`.

`open_benchmark("editbench:DIR")` reads one by name, `describe` says what it is. Which layouts there are and which
options they take is in docs/evaluation.md. Nothing is fetched but ImagenHub's set, where no folder of it is named.
"""

from collections.abc import Sequence

from byteedit.evaluation.benchmarks.brushbench import read_brushbench
from byteedit.evaluation.benchmarks.case import EditCase, asking, coverage
from byteedit.evaluation.benchmarks.editbench import read_editbench
from byteedit.evaluation.benchmarks.imagenhub import read_imagenhub
from byteedit.evaluation.benchmarks.pairs import read_pairs
from byteedit.evaluation.benchmarks.picturebench import read_picturebench
from byteedit.evaluation.naming import open_named
from byteedit.files import is_file_name

__all__ = ["BENCHMARKS", "EditCase", "asking", "coverage", "describe", "open_benchmark"]

BENCHMARKS = {
    "editbench": read_editbench,
    "brushbench": read_brushbench,
    "userbench": read_pairs,
    "imagenhub": read_imagenhub,
    "picturebench": read_picturebench,
}


def open_benchmark(text: str) -> list[EditCase]:
    """The cases of a benchmark by name, such as "brushbench:DIR,where=outside"; their pictures are not read yet.

    Raises:
        ValueError: there is no such benchmark or option, or what lies there is of another layout, or a case's
            id can be no file's name, or two share one.
    """
    cases = open_named(BENCHMARKS, text, "benchmark")
    ids = [case.id for case in cases]
    if strange := [name for name in ids if not is_file_name(name)]:
        raise ValueError(f"{text} has a case called {strange[0]!r}, no plain file name; give it one without slashes.")
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise ValueError(f"{text} has several cases called {twice[0]}; each needs a name of its own.")
    if not cases:
        raise ValueError(f"{text} has no cases.")
    return cases


def describe(cases: Sequence[EditCase]) -> str:
    """One line: how many cases there are, and how much of the pictures their masks cover. Reads every mask.

    Masks that cover more than half of the pictures are likely to be the wrong way round, and the line says so. Those
    that cannot be read are counted in it, the first with the reason.
    """
    shares, unreadable = coverage(cases)
    line = f"{len(cases)} cases"
    if len(shares):
        line += f"; masks cover {shares.mean():.1%} of a picture ({shares.min():.1%} to {shares.max():.1%})"
        line += "; that is much: are they white where to generate?" if shares.mean() > 0.5 else ""
        line += f"; masks that are empty: {empty}" if (empty := int((shares == 0).sum())) else ""
    if unreadable:
        line += f"; masks that cannot be read: {len(unreadable)}, the first of {unreadable[0]}"
    return line
