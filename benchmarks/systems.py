"""Every checkpoint and LoRA that ships beside every baseline that runs here, on PictureBench: one run, one report.

The run is kept and goes on where it was stopped. A LoRA is run with the schedule that it carries and is named after
it, `boost20` in 20 steps. All of PictureBench is filed in docs/results.json as `table1.SYSTEM.TASK.AXIS`,
`table2.picturebench.SYSTEM.TASK.SCORE` and `winrate.SYSTEM-vs-OTHER.TASK.AXIS`; with --limit in the run's folder.

    python benchmarks/systems.py --limit 4
"""

import shlex
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import torch
import tyro

import byteedit
from byteedit.evaluation.figures import Figure
from byteedit.evaluation.report.content import Content, gather
from byteedit.evaluation.report.reading import read_run
from byteedit.evaluation.report.writing import write_report
from byteedit.evaluation.runs import RunSettings, evaluate
from byteedit.pipeline import ByteEditInpaintPipeline
from byteedit.schedule import Schedule
from results import RESULTS, pair_key, record

BASE = "baseline20"
HEADLINE = ("fast8", "boost20", BASE)  # the first of these that ships is what the others are compared with
BASELINES = ("sd-inpaint", "bld", "diffedit", "emilie")
FILLERS = ("telea", "navier-stokes")
KEPT = "emilie-pixels"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is run."""

    limit: Annotated[int | None, tyro.conf.arg(help_behavior_hint="(default: all 240)")] = None
    """Cases of each task; figures are filed in docs/ only when it is all of them."""
    output: Path = Path(".runs/systems")
    """The run's folder; with a limit, a folder of that name in it."""
    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    """Where models run."""
    loras: Path = Path(byteedit.LORAS)
    """Folder of the LoRAs."""
    rewards: Path = Path(byteedit.REWARDS)
    """Folder of the rewards."""
    baselines: bool = True
    """Run the baselines too; without them, only what ships."""


def shipped(loras: Path) -> dict[str, str]:
    """The checkpoint and each LoRA on it, by name with steps, as `open_system` takes them."""
    found = {}
    for folder in sorted(place.parent for place in loras.glob("*/*.safetensors")):
        metadata = ByteEditInpaintPipeline.lora_state_dict(str(folder), return_lora_metadata=True)[2]
        schedule = Schedule.of_lora(metadata)
        steps = schedule.num_inference_steps if schedule else 20
        name = folder.name if folder.name.endswith(str(steps)) else f"{folder.name}{steps}"
        found[name] = f"byteedit,lora={name_of(folder, byteedit.LORAS)}" + ("" if schedule else ",steps=20")
    return found | {BASE: "byteedit,steps=20"}


def others() -> dict[str, str]:
    """The baselines on the shipped checkpoint, with its own steps and guidance, and the fillers that are installed."""
    same = "steps=20,guidance_scale=2.5"
    models = {name: f"{name}:picturebook,{same}" for name in BASELINES}
    fillers = [*FILLERS, "lama"] if find_spec("simple_lama_inpainting") else FILLERS
    return models | {KEPT: f"emilie:picturebook,keep=pixels,{same}"} | {name: name for name in fillers}


def scores(rewards: Path) -> list[str]:
    """Every reward that ships, asked as it was trained: with the prompt that the system was given."""
    found = sorted(place.parent for place in rewards.glob("*/config.json"))
    return [f"reward:{name_of(folder, byteedit.REWARDS)},prompt=asked" for folder in found]


def name_of(folder: Path, home: str) -> str:
    """A folder by its name where it ships, so that a run's settings say the same wherever byteedit is installed."""
    return folder.name if folder.parent == Path(home) else str(folder)


def run(settings: Settings) -> Content:
    """Let all systems answer, and gather the report: every LoRA against the checkpoint without it."""
    ours = shipped(settings.loras)
    systems = ours | (others() if settings.baselines else {})
    evaluate(
        RunSettings(
            benchmark="picturebench",
            systems=tuple(f"{name}={text}" for name, text in systems.items()),
            scores=tuple(scores(settings.rewards)),
            output=folder(settings),
            limit=settings.limit,
            device=settings.device,
        )
    )
    first = next(name for name in HEADLINE if name in ours)
    pairs = [(name, BASE) for name in ours if name != BASE]
    pairs += [(first, name) for name in ours if name not in (first, BASE)]
    return gather([read_run(folder(settings))], ours=first, ablations=pairs)


def folder(settings: Settings) -> Path:
    """Where the run is kept."""
    return settings.output / ("all" if settings.limit is None else f"limit-{settings.limit}")


def figures(content: Content) -> dict[str, Figure]:
    """What is filed, by key."""
    marks = {f"table1.{row['system']}.{row['task']}.{row['axis']}": row["mark"] for row in content.marks}
    values = {
        f"table2.{row['benchmark']}.{row['system']}.{row['task']}.{row['score']}": row["value"]
        for row in content.scores
    }
    won = {f"{pair_key(r['system'], r['other'])}.{r['task']}.{r['axis']}": r["win_rate"] for r in content.ablations}
    overall = {f"{pair_key(r['system'], r['other'])}.{r['task']}.overall": r["win_rate"] for r in content.votes}
    return marks | values | won | overall


def main(settings: Settings) -> None:
    """Run, write the report beside the run, and file the figures."""
    content = run(settings)
    pages = write_report(content, folder(settings) / "report")
    place = RESULTS if settings.limit is None else folder(settings) / "results.json"
    command = "python " + shlex.join(sys.argv)
    for key, figure in figures(content).items():
        record(key, figure.value, figure.low, figure.high, figure.n, command, place)
    print(*pages, place, sep="\n")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
