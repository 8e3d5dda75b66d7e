"""Every measured figure of the project, in `docs/results.json`, from which the tables in README and docs are generated.

`{key: {value, low, high, n, command, commit}}`; `low` and `high` bound the value's interval, null where there is none;
`n` counts what it was measured on.
"""

import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parents[1] / "docs" / "results.json"
PAIRS = {"boost20-vs-baseline20": "boost-vs-baseline"}
"""What a pair of systems is filed under, if not as it is called."""


def pair_key(first: str, second: str) -> str:
    """What the win rates of a system against another are filed under."""
    pair = f"{first}-vs-{second}"
    return f"winrate.{PAIRS.get(pair, pair)}"


def record(
    key: str, value: float, low: float | None, high: float | None, n: int, command: str, path: Path = RESULTS
) -> None:
    """Keep one figure, sorted among the others, with the commit that it was measured at.

    Raises ValueError for what is no figure: NaN, infinity, half an interval or one without the value, no cases.
    """
    bounds = () if low is None and high is None else (low, high)
    if not all(number is not None and math.isfinite(number) for number in (value, *bounds)):
        raise ValueError(
            f"{key} is {value} in [{low}, {high}]; only finite figures are kept: look for what went wrong."
        )
    if (bounds and not low <= value <= high) or n < 1:
        raise ValueError(
            f"{key} is {value} in [{low}, {high}] of {n}; give an interval around the value, and n above 0."
        )
    results = json.loads(path.read_text()) if path.exists() else {}
    figure = {
        "value": value,
        "low": low,
        "high": high,
        "n": n,
        "command": command,
        "commit": commit(Path(__file__).parent),
    }
    results[key] = figure
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(dict(sorted(results.items())), indent=2) + "\n")
    os.replace(partial, path)


def filing(recorded: bool, command: str = "") -> Callable[..., None]:
    """What prints a figure, of (key, value, low, high, n), and keeps it where `recorded`; NaN: it has no interval.

    `command`: what measures it; without, the line that this script was started by.
    """
    command = command or "python " + shlex.join(sys.argv)

    def file(key: str, value: float, low: float, high: float, n: int) -> None:
        interval = "" if math.isnan(low) else f"[{low:.4f}, {high:.4f}]"
        print(f"{key:44} {value:10.4f}   {interval:22}   n = {n}", flush=True)
        if recorded:
            bounds = (low, high) if interval else (None, None)
            record(key, value, *bounds, n, command)

    return file


def median(values: np.ndarray) -> tuple[float, float, float]:
    """The median with a bootstrap interval of 95 %."""
    drawn = np.median(np.random.default_rng(0).choice(values, (2000, len(values))), axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    middle = float(np.median(values))
    return middle, min(float(low), middle), max(float(high), middle)


def commit(folder: Path) -> str:
    """The commit that is checked out, short; with "+" where tracked files other than pages and docs differ from it."""
    git = ["git", "-C", str(folder)]
    name = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], check=True, capture_output=True, text=True).stdout
    but = [":(top)", ":(top,exclude)docs", ":(top,exclude)*.md"]
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *but], check=False).returncode
    return name.strip() + "+" * bool(changed)
