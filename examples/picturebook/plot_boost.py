"""What the rewards say and what the gold judge says while a model learns from the rewards, and where the two part.

Both are measured on pictures that nothing learns from (`train_boost.py`). While they rise together, learning is worth
it; where the rewards' scores go on rising and the judge's marks do not, the rewards are being cheated. The weights that
are kept are those with the best marks.

    python examples/picturebook/plot_boost.py .runs/boost/log.jsonl
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import matplotlib.pyplot as plt
import tyro

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Settings:
    log: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FILE")]] = Path(".runs/boost/log.jsonl")
    """Log of a run that was watched."""
    output: Annotated[Path, tyro.conf.arg(metavar="FILE")] = ROOT / "docs" / "images" / "boost_proxy_gold.png"
    """Where the plot goes."""


def course(log: Path) -> list[dict[str, float]]:
    """The validations of a run: `step`, `gold`, and `proxy`, the mean of the rewards' scores.

    Raises:
        ValueError: none of them has gold marks.
    """
    found = []
    for line in map(json.loads, log.read_text().splitlines()):
        scores = [value for name, value in line.items() if name.startswith("validation/score/")]
        if scores and "validation/gold" in line:
            mean = sum(scores) / len(scores)
            found.append({"step": line["step"], "gold": line["validation/gold"], "proxy": mean})
    if not found:
        raise ValueError(f"{log} has no line with validation/gold and scores; train with a judge, as train_boost.py.")
    return found


def parting(points: list[dict[str, float]]) -> int | None:
    """The step with the best marks, if scores rose above their value there later; None where they did not part."""
    best = max(range(len(points)), key=lambda n: points[n]["gold"])
    later = [point["proxy"] for point in points[best + 1 :]]
    return points[best]["step"] if later and max(later) > points[best]["proxy"] else None


def draw(points: list[dict[str, float]], output: Path) -> None:
    """Scores on the left axis, marks on the right one, and a line where they part."""
    figure, left = plt.subplots(figsize=(7, 3.6), layout="constrained")
    right = left.twinx()
    steps = [point["step"] for point in points]
    for axis, name, colour, label in (
        (left, "proxy", "tab:orange", "rewards' score, standardised"),
        (right, "gold", "tab:blue", "gold judge's mean mark, 1 to 5"),
    ):
        axis.plot(steps, [point[name] for point in points], color=colour, marker="o", markersize=3)
        axis.set_ylabel(label, color=colour)
        axis.tick_params(axis="y", labelcolor=colour)
    left.set_xlabel("step")
    if (step := parting(points)) is not None:
        left.axvline(step, color="grey", linestyle="--", linewidth=1)
        left.annotate(f"they part at step {step}", (step, left.get_ylim()[0]), (4, 4), textcoords="offset points")
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=130)
    plt.close(figure)


def main(settings: Settings) -> None:
    points = course(settings.log)
    draw(points, settings.output)
    step = parting(points)
    where = "do not part" if step is None else f"part at step {step}"
    scores, marks = ([f"{points[n][name]:.2f}" for n in (0, -1)] for name in ("proxy", "gold"))
    courses = f"scores from {scores[0]} to {scores[1]}, marks from {marks[0]} to {marks[1]}"
    print(f"{settings.output}: {len(points)} validations, {courses}; they {where}")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
