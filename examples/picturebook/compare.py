"""Systems side by side on PictureBench: the same cases, the same noise, and the gold judge says which answer is better.

A system is the shipped checkpoint with or without a LoRA, in so many steps. What it answers is kept, so a run that was
killed goes on, and a system is run once for all comparisons. A pair of answers is Good, Same or Bad on an axis of the
marks; the win rate is the paper's, (G + S) / ((G + S) + (S + B)), with a bootstrap interval over cases.

    torchrun --nproc-per-node 2 examples/picturebook/compare.py baseline20 --sheets docs/images --record
    torchrun --nproc-per-node 2 examples/picturebook/compare.py boost20 baseline20 --record
    torchrun --nproc-per-node 2 examples/picturebook/compare.py fast8 boost20 baseline20 lcm8 dpm8 --record
"""

import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import tyro
from accelerate import PartialState
from accelerate.utils import gather_object
from diffusers import DPMSolverMultistepScheduler, LCMScheduler
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

import byteedit
from byteedit.diffusion import decode, mode_latents
from byteedit.evaluation import TASKS
from byteedit.evaluation.comparison import gains, win_rates
from byteedit.evaluation.figures import Figure
from byteedit.evaluation.picturebench import COUNT, Case, cases
from byteedit.evaluation.report.sheet import contact_sheet
from byteedit.evaluation.scores.picturebench import judged, summarise
from byteedit.evaluation.systems import answers
from byteedit.files import claim, make_writable, png, sha256, weights_sha256, write_atomically
from byteedit.pipeline.canvas import lay_out
from byteedit.reading import picture_from_array

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benchmarks"))
from results import filing, pair_key  # noqa: E402

SHEET = 8  # cases of each task on a sheet of several systems
HEADING = 15  # pixels above it
SPREAD = 24  # cases on a sheet of one task
NOISES = 7_777_000  # from the seed of a case's noise to the next
SOLVERS = {"lcm": LCMScheduler, "dpm++": DPMSolverMultistepScheduler}  # beside the checkpoint's own, DDIM


@dataclass(frozen=True, kw_only=True)
class System:
    """The checkpoint as it is asked for an answer. None: as it recommends itself, or as its LoRA does."""

    lora: str = ""  # of those that ship, or a folder
    steps: int | None = None
    guidance_scale: float | None = None
    guidance_end: float | None = None
    init: Literal["noise", "masked"] | None = None
    noise_scale: float | None = None
    solver: Literal["", "lcm", "dpm++"] = ""
    noise: int = 0  # added to each case's seed, NOISES times
    rebuilt: bool = False  # not asked at all: the true picture, through the autoencoder


SCALES = ("guidance_scale", "guidance_end", "noise_scale")
SYSTEMS = {
    "baseline20": System(steps=20),
    "mild20": System(steps=20, guidance_scale=1.5),  # as the boost is watched in training
    "calm20": System(steps=20, guidance_scale=3.0, guidance_end=0.5, noise_scale=0.9),  # as the boost recommends
    "baseline8": System(steps=8),
    "baseline4": System(steps=4),
    "unguided8": System(steps=8, guidance_scale=1.0),  # as fast8 is asked
    "unguided4": System(steps=4, guidance_scale=1.0),
    "boost20": System(lora="boost", steps=20),
    "boost8": System(lora="boost", steps=8),
    # DPM-Solver++, 2M, guided in all steps
    "dpm8": System(lora="boost", steps=8, guidance_scale=1.5, guidance_end=1.0, noise_scale=1.0, solver="dpm++"),
    "lcm8": System(lora="lcm", steps=8, guidance_scale=1.0, solver="lcm"),
    "lcm4": System(lora="lcm", steps=4, guidance_scale=1.0, solver="lcm"),
    "fast8": System(lora="fast8"),
    "fast4": System(lora="fast4"),
    "ceiling": System(rebuilt=True),  # what a UNet would give that hit upon its latents
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    names: tyro.conf.Positional[tuple[str, ...]]
    """Systems, the first against each of the others: names of SYSTEMS, or NAME=LORA for any LoRA as it recommends,
    or NAME=LORA,init=noise, NAME=LORA,guidance_scale=2,noise_scale=1; without a LoRA (NAME=,noise_scale=0.9) the
    checkpoint."""
    split: str = "test"
    """Split of PictureBench; test is what is reported, validation is for choosing."""
    limit: int = COUNT
    """Cases of each task."""
    loras: Path = Path(byteedit.LORAS)
    """Folder of the LoRAs."""
    output: Path = Path(".runs/compare")
    """Folder of the answers, a folder a system and split."""
    record: bool = False
    """File the figures in docs/results.json: win rates, and of all cases of the test split what each system reaches."""
    key: str = ""
    """File the win rates of the first against the second under this, and nothing else."""
    sheet: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A picture of some cases with every system's answer beside the input."""
    sheets: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder for a picture of each task: cases spread over all of them, with the first system's answers."""

    @property
    def whole(self) -> bool:
        """Whether it is all of PictureBench."""
        return self.split == "test" and self.limit >= COUNT


def system(name: str) -> System:
    """A system by name, or by NAME=LORA and how it is asked."""
    short, equals, asked = name.partition("=")
    if equals:
        lora, *options = asked.split(",")
        said = dict(option.partition("=")[::2] for option in options)
        if unknown := sorted(said.keys() - {"init", *SCALES}):
            raise SystemExit(f"{name}: {unknown[0]!r} is nothing to ask; there are init, {', '.join(SCALES)}.")
        scales = {scale: float(said[scale]) for scale in SCALES if scale in said}
        return System(lora=lora, init=said.get("init"), **scales)
    if short not in SYSTEMS:
        raise SystemExit(f"there is no system {short!r}; there are {', '.join(SYSTEMS)}, or say NAME=LORA.")
    return SYSTEMS[short]


def run(name: str, settings: Settings, state: PartialState) -> None:
    """Make the answers of a system that are not there yet, this process's share."""
    asked, folder = system(name), home(name, settings)
    there = place(asked, settings)
    if state.is_main_process:  # answers of other weights must not be taken for these
        weights = sha256(there / "pytorch_lora_weights.safetensors") if there else ""
        claim(folder, asdict(asked) | {"lora": weights, "base": weights_sha256(byteedit.PICTUREBOOK)})
    todo = {
        task: [case for case in chosen(task, settings) if not (folder / f"{case.id}.png").exists()] for task in TASKS
    }
    state.wait_for_everyone()
    if not any(todo.values()):
        return
    pipe = open_system(asked, there).to(state.device)
    options = {"num_inference_steps": asked.steps, "init": asked.init}
    options |= {scale: getattr(asked, scale) for scale in SCALES}
    for task, missing in todo.items():
        mine = missing[state.process_index :: state.num_processes]
        mine = [replace(case, seed=case.seed + asked.noise * NOISES) for case in mine]
        made = rebuild(pipe, mine) if asked.rebuilt else answers(pipe, mine, **options)
        for case, image in zip(mine, tqdm(made, f"{name} {task}", len(mine)), strict=True):
            write_atomically(folder / f"{case.id}.png", png(Image.fromarray(image)))


@torch.no_grad()
def rebuild(pipe: byteedit.ByteEditInpaintPipeline, some: list[Case]) -> Iterator[np.ndarray]:
    """The true picture of each case, (H, W, 3) uint8; what its mask covers has been through the autoencoder.

    It is pasted as the pipeline pastes its answers, matched in colour and closed at the seam.
    """
    for case in some:
        canvas = lay_out([picture_from_array(case.picture)], [case.mask], case.mask.shape[::-1], None, composite=True)
        decoded = decode(pipe.vae, mode_latents(pipe.vae, canvas.image.to(pipe.device)))
        [image] = canvas.finish(decoded, composite=True, cell=pipe.vae_scale_factor, rounded=True)
        yield np.asarray(image.convert("RGB"))


def place(asked: System, settings: Settings) -> Path | None:
    """The folder of a system's LoRA."""
    if not asked.lora:
        return None
    shipped = settings.loras / asked.lora
    return shipped if shipped.is_dir() else Path(asked.lora)


def open_system(asked: System, lora: Path | None) -> byteedit.ByteEditInpaintPipeline:
    pipe = byteedit.ByteEditInpaintPipeline.from_pretrained(byteedit.PICTUREBOOK)
    pipe.set_progress_bar_config(disable=True)
    if lora:
        pipe.load_lora_weights(str(lora))
        pipe.fuse_lora()
        pipe.unload_lora_weights()  # what is fused stays, and the schedule; the layers around it cost time
    if asked.solver:
        pipe.scheduler = SOLVERS[asked.solver].from_config(pipe.scheduler.config)
    return pipe


def home(name: str, settings: Settings) -> Path:
    return settings.output / f"{name.partition('=')[0]}-{settings.split}"


def chosen(task: str, settings: Settings) -> list[Case]:
    return cases(task, settings.split)[: settings.limit]


def lines_of(name: str, settings: Settings, state: PartialState) -> list[dict]:
    """A system's answers judged, in the order of the cases."""
    every = [case for task in TASKS for case in chosen(task, settings)]
    with state.split_between_processes(list(range(len(every)))) as mine:
        lines = [line(every[n], read(name, every[n], settings)) for n in tqdm(mine, f"{name} judged")]
    return gather_object(lines)


def line(case: Case, image: np.ndarray) -> dict:
    """What is judged of an answer, with what tells its case."""
    return {"id": case.id, "task": case.task, "held_out": case.held_out} | judged(case, image)


def beside(ours: list[dict], theirs: list[dict]) -> dict[str, Figure]:
    """What is filed of two systems' lines."""
    return win_rates(ours, theirs) | gains(ours, theirs)


def read(name: str, case: Case, settings: Settings) -> np.ndarray:
    return np.asarray(Image.open(home(name, settings) / f"{case.id}.png"))


def draw(names: tuple[str, ...], settings: Settings) -> Image.Image:
    """Rows of cases, spread over all of them, none picked: the input, then each system's answer."""
    step = max(1, settings.limit // SHEET)
    some = [case for task in TASKS for case in chosen(task, settings)[::step][:SHEET]]
    columns = [contact_sheet(some, [read(name, case, settings) for case in some], columns=1) for name in names]
    width, height = columns[0].size
    side = (width + 2) // 2  # from one picture to the next
    sheet = Image.new("RGB", (side * (len(names) + 1), HEADING + height), "white")
    sheet.paste(columns[0].crop((0, 0, side, height)), (0, HEADING))
    pen = ImageDraw.Draw(sheet)
    for n, (name, column) in enumerate(zip(names, columns, strict=True), 1):
        sheet.paste(column.crop((side, 0, width, height)), (side * n, HEADING))
        pen.text((side * n, 0), name.partition("=")[0], fill="black", font=ImageFont.load_default(11))
    return sheet


def spread(task: str, settings: Settings) -> Image.Image:
    """Cases spread over all of a task's, none picked, each beside the first system's answer."""
    some = [cases(task)[10 * n + n % 2] for n in range(SPREAD)]
    return contact_sheet(some, [read(settings.names[0], case, settings) for case in some])


def show(prefix: str, found: dict[str, Figure], filed: bool) -> None:
    """Print figures and, if asked, file them."""
    script = os.path.relpath(sys.argv[0], ROOT)
    file = filing(filed, "torchrun --nproc-per-node 2 " + shlex.join([script, *sys.argv[1:]]))
    for key, figure in found.items():
        file(f"{prefix}.{key}", **asdict(figure))


def main(settings: Settings) -> None:
    if settings.key and len(settings.names) != 2:
        raise SystemExit(f"--key files one pair, but there are {len(settings.names)} systems; name two.")
    if settings.sheets and not settings.whole:
        raise SystemExit("--sheets shows cases from all of the test split; leave --limit and --split as they are.")
    if settings.sheets:
        make_writable(settings.sheets)
    torch.set_num_threads(1)
    state = PartialState(cpu=not torch.accelerator.is_available())
    for name in settings.names:
        run(name, settings, state)
    state.wait_for_everyone()
    lines = {name.partition("=")[0]: lines_of(name, settings, state) for name in settings.names}
    if not state.is_main_process:
        return
    first, *others = lines
    for name, scored in lines.items():
        filed = settings.record and settings.whole and not settings.key
        show(f"picturebench.{name}", summarise(scored), filed)
    for other in others:
        show(settings.key or pair_key(first, other), beside(lines[first], lines[other]), settings.record)
    if settings.sheet:
        draw(settings.names, settings).save(settings.sheet, optimize=True)
    for task in TASKS if settings.sheets else ():
        spread(task, settings).save(settings.sheets / f"picturebench_{task}.png", optimize=True)


def leave_together() -> None:
    """End this process once all others have come here, too: torchrun stops them all where one ends badly, as one can
    whose group is still there when it ends."""
    state = PartialState(cpu=not torch.accelerator.is_available())
    state.wait_for_everyone()
    state.destroy_process_group()


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
    leave_together()
