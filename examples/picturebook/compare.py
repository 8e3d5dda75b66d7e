"""Systems side by side on PictureBench: the same cases, the same noise, and the gold judge says which answer is better.

A system is the shipped checkpoint with or without a LoRA, in so many steps. What it answers is kept, so a run that was
killed goes on, and a system is run once for all comparisons. A pair of answers is Good, Same or Bad on an axis of the
marks; the win rate is the paper's, (G + S) / ((G + S) + (S + B)), with a bootstrap interval over cases.

    torchrun --nproc-per-node 2 examples/picturebook/compare.py boost20 baseline20 --record
"""

import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from accelerate import PartialState
from PIL import Image
from tqdm import tqdm

import byteedit
from byteedit.evaluation.duels import win_rates
from byteedit.evaluation.marks import marks
from byteedit.evaluation.picturebench import TASKS, Case, cases
from byteedit.evaluation.report import Figure, contact_sheet, figures
from byteedit.evaluation.scores import score
from byteedit.evaluation.systems import answers

ROOT = Path(__file__).resolve().parents[2]
SHEET = 8  # cases of each task on a sheet


@dataclass(frozen=True, kw_only=True)
class System:
    """The checkpoint as it is asked for an answer."""

    steps: int
    lora: str = ""  # of those that ship, or a folder
    guidance_scale: float | None = None  # the checkpoint's own where None


SYSTEMS = {
    "baseline20": System(steps=20),
    "boost20": System(steps=20, lora="boost"),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    names: tyro.conf.Positional[tuple[str, ...]]
    """Systems, the first against each of the others: names of SYSTEMS, or NAME=LORA for 20 steps with any LoRA."""
    split: str = "test"
    """Split of PictureBench; test is what is reported, validation is for choosing."""
    limit: int = 240
    """Cases of each task."""
    loras: Path = Path(byteedit.PICTUREBOOK).parent / "loras"
    """Folder of the LoRAs."""
    output: Path = Path(".runs/compare")
    """Folder of the answers, a folder a system and split."""
    record: bool = False
    """File the figures in docs/results.json."""
    sheet: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A picture of some cases with every system's answer beside the input."""


def system(name: str) -> System:
    """A system by name, or NAME=LORA."""
    short, equals, lora = name.partition("=")
    if equals:
        return System(steps=20, lora=lora)
    if short not in SYSTEMS:
        raise SystemExit(f"there is no system {short!r}; there are {', '.join(SYSTEMS)}, or say NAME=LORA.")
    return SYSTEMS[short]


def run(name: str, settings: Settings, state: PartialState) -> None:
    """Make the answers of a system that are not there yet, this process's share."""
    asked, folder = system(name), home(name, settings)
    todo = {
        task: [case for case in chosen(task, settings) if not (folder / f"{case.id}.png").exists()] for task in TASKS
    }
    state.wait_for_everyone()
    if not any(todo.values()):
        return
    pipe = byteedit.ByteEditInpaintPipeline.from_pretrained(byteedit.PICTUREBOOK)
    if asked.lora:
        there = settings.loras / asked.lora
        pipe.load_lora_weights(str(there if there.exists() else asked.lora))
    pipe.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": asked.steps}
    if asked.guidance_scale is not None:
        options["guidance_scale"] = asked.guidance_scale
    folder.mkdir(parents=True, exist_ok=True)
    for task, missing in todo.items():
        mine = missing[state.process_index :: state.num_processes]
        made = answers(pipe.to(state.device), mine, **options)
        for case, image in zip(mine, tqdm(made, f"{name} {task}", len(mine)), strict=True):
            Image.fromarray(image).save(folder / f"{case.id}.png")


def home(name: str, settings: Settings) -> Path:
    return settings.output / f"{name.partition('=')[0]}-{settings.split}"


def chosen(task: str, settings: Settings) -> list[Case]:
    return cases(task, settings.split)[: settings.limit]


def judged(name: str, settings: Settings, state: PartialState) -> list[dict]:
    """Each case with its scores and its marks, in the order of the cases."""
    every = [case for task in TASKS for case in chosen(task, settings)]
    with state.split_between_processes(list(range(len(every)))) as mine:
        lines = [judge(every[n], read(name, every[n], settings)) for n in tqdm(mine, f"{name} judged")]
    gathered = [None] * state.num_processes
    if state.num_processes == 1:
        return lines
    torch.distributed.all_gather_object(gathered, lines)
    return [line for part in gathered for line in part]


def judge(case: Case, image: np.ndarray) -> dict:
    return score(case, image) | {axis: mark for axis, mark in asdict(marks(case, image)).items() if mark is not None}


def read(name: str, case: Case, settings: Settings) -> np.ndarray:
    return np.asarray(Image.open(home(name, settings) / f"{case.id}.png"))


def draw(names: tuple[str, ...], settings: Settings) -> Image.Image:
    """Rows of cases, spread over all of them, none picked: the input, then each system's answer."""
    some = [case for task in TASKS for case in chosen(task, settings)[:: settings.limit // SHEET][:SHEET]]
    columns = [contact_sheet(some, [read(name, case, settings) for case in some], columns=1) for name in names]
    width, height = columns[0].size
    answer = (width + 2) // 2  # where a tile's output begins
    sheet = Image.new("RGB", (width + (len(names) - 1) * (width - answer + 2), height), "white")
    sheet.paste(columns[0], (0, 0))
    for n, column in enumerate(columns[1:]):
        sheet.paste(column.crop((answer, 0, width, height)), (width + 2 + n * (width - answer + 2), 0))
    return sheet


def show(prefix: str, found: dict[str, Figure], record: bool) -> None:
    """Print figures and, if asked, file them."""
    sys.path.append(str(ROOT / "benchmarks"))
    from results import record as file

    command = "torchrun --nproc-per-node 2 " + shlex.join(sys.argv)
    for key, figure in found.items():
        print(f"{prefix}.{key:44} {figure.value:7.3f}   [{figure.low:.3f}, {figure.high:.3f}]   n = {figure.n}")
        if record:
            file(f"{prefix}.{key}", figure.value, figure.low, figure.high, figure.n, command)


def main(settings: Settings) -> None:
    torch.set_num_threads(1)
    state = PartialState(cpu=not torch.accelerator.is_available())
    for name in settings.names:
        run(name, settings, state)
    state.wait_for_everyone()
    lines = {name.partition("=")[0]: judged(name, settings, state) for name in settings.names}
    if not state.is_main_process:
        return
    for name, scored in lines.items():
        show(f"picturebench.{name}", figures(scored), settings.record and name != "baseline20")
    first, *others = lines
    for other in others:
        show(f"winrate.{first}-vs-{other}", win_rates(lines[first], lines[other]), settings.record)
    if settings.sheet:
        draw(settings.names, settings).save(settings.sheet, optimize=True)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
