"""The model cards of what is trained: what it was made from, how it is opened, how it was before and is now.

What a card looks like is `hub`'s. Nothing is measured here: numbers and pictures are the validation's, but for what a
reward's card shows of it: the highest and the lowest scores, or maps of what is real.
"""

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from datasets import Dataset
from PIL import Image
from scipy.stats import binomtest

from byteedit.data.pairs import compared
from byteedit.data.preferences import COHERENCE, Skipped, examples
from byteedit.hub import push, write_card
from byteedit.rewards import CoherenceReward, PreferenceReward
from byteedit.schedule import Schedule
from byteedit.training.base import TuneSettings
from byteedit.training.checkpoints import last_progress
from byteedit.training.reward import SCHEMAS, RewardSettings

__all__ = ["WHERE", "describe", "describe_reward", "how"]

LORA = """```python
from byteedit import PICTUREBOOK, ByteEditInpaintPipeline

pipe = ByteEditInpaintPipeline.from_pretrained({base})
pipe.load_lora_weights({here})
```

diffusers' own `StableDiffusionInpaintPipeline` opens it in the same way."""

UNET = """```python
from diffusers import UNet2DConditionModel

from byteedit import PICTUREBOOK, ByteEditInpaintPipeline

unet = UNet2DConditionModel.from_pretrained({here})
pipe = ByteEditInpaintPipeline.from_pretrained({base}, unet=unet){follow}
```"""

CHECKPOINT = """```python
from byteedit import ByteEditInpaintPipeline

pipe = ByteEditInpaintPipeline.from_pretrained({here})
```"""

LEARNT = {
    "aesthetic": "Says how pleasing a picture is: a `PreferenceReward`, trained on pairs of pictures (Eq. 1).",
    "alignment": "Says how well a picture fits its prompt: a `PreferenceReward`, trained on pairs of captions (Eq. 5).",
    "coherence": "Says of every pixel whether it is real or generated: a `CoherenceReward`, trained on masks (Eq. 6).",
}

WHERE = "byteedit knows that from the file; elsewhere, ask for it in the call."

OURS = ("score/", "loss", "minus_loss")  # how the names begin of what the stages measure themselves
USAGE = {"lora": LORA, "unet": UNET, "checkpoint": CHECKPOINT}  # by what the folder of the weights is called


def describe(
    accelerator: Accelerator,
    settings: TuneSettings,
    title: str,
    summary: str,
    measures: dict[str, float],
    use: Mapping[str, Any] | None = None,
) -> None:
    """Write the card beside the finished weights, on the main process, and upload them where the settings say so.

    use: what of the pipeline's schedule must be set where a UNet alone, which cannot say it, is opened.
    """
    if not accelerator.is_main_process:
        return
    folder, hosted = settings.written, "/" in settings.base and not Path(settings.base).exists()
    base = "PICTUREBOOK" if settings.base == "picturebook" else f'"{settings.base}"'
    said = ", ".join(f"{name}={value!r}" for name, value in (use or {}).items())
    follow = f"\npipe.follow(replace(pipe.schedule, {said}))  # which save_pretrained keeps" if said else ""
    usage = USAGE[folder.name].format(base=base, here=f'"{settings.push or folder}"', follow=follow)
    if said and folder.name == "unet":
        usage = usage.replace("```python\n", "```python\nfrom dataclasses import replace\n\n")
    write_card(
        folder,
        title=title,
        summary=summary,
        usage=usage,
        tags=["image-inpainting", "stable-diffusion", "diffusers", *(["lora"] if settings.rank else [])],
        base=settings.start,
        base_model=settings.base if hosted else None,
        data="; ".join([settings.data, *whose_pictures(settings, measures)]),
        settings={"processes": accelerator.num_processes} | settings.told() | steps_of(settings.output),
        measures=before(settings.output) | measures,
        samples=sheets(settings.output / "validation"),
    )
    shown = ", ".join(f"{name} {value:.3f}" for name, value in measures.items())
    print(f"{folder}: {shown or 'nothing is held out, so nothing is measured'}")
    if settings.push:
        print(push(folder, settings.push))


def steps_of(output: Path) -> dict[str, int]:
    """How many steps a run has taken, and after which of them the weights were the best, if that was watched."""
    progress = last_progress(output)
    if progress is None:
        return {}
    return {"steps": progress.step} | ({} if progress.best is None else {"weights of step": progress.best_step})


def whose_pictures(settings: TuneSettings, measures: dict[str, float]) -> list[str]:
    """Which pictures the measures are of: a judge has pictures of its own, all else is of what is held out."""
    ours = [name for name in measures if name.startswith(OURS)]
    judged = [name for name in measures if name not in ours]
    if not judged:
        return [f"the numbers are of {settings.held_out}"] if ours else []
    known = [f"{', '.join(ours)}: of {settings.held_out}"] if ours else []
    return [*known, f"{', '.join(judged)}: a judge's, of pictures of its own"]


def before(output: Path) -> dict[str, float]:
    """The measures of the first validation, if that was before the first step."""
    first = json.loads((output / "log.jsonl").read_text().splitlines()[0])
    measured = {name.removeprefix("validation/"): value for name, value in first.items() if name != "step"}
    return {f"{name}, before": value for name, value in measured.items()} if first["step"] == 0 else {}


def sheets(folder: Path) -> dict[str, Image.Image]:
    """What was made of held-out pictures before the first step and with the finished weights."""
    files = {"Before: input and result": "step-00000.png", "After: input and result": "kept.png"}
    return {what: Image.open(folder / file) for what, file in files.items() if (folder / file).is_file()}


def how(schedule: Schedule) -> str:
    """The guidance and the noise of a schedule, in words."""
    scale, end, noise_scale = schedule.guidance_scale, schedule.guidance_end, schedule.noise_scale
    guided = "without guidance" if scale <= 1 else f"with guidance {scale:g}"
    if scale > 1 and end < 1:
        guided += f" in the first {100 * end:g} % of the steps (`guidance_end`)"
    return guided + ("" if noise_scale == 1 else f"; each step hands on {noise_scale:g} of its noise (`noise_scale`)")


def describe_reward(
    accelerator: Accelerator,
    settings: RewardSettings,
    model: PreferenceReward | CoherenceReward,
    held_out: Dataset,
    measures: dict[str, float],
) -> None:
    """Write the card beside a finished reward, on the main process, and upload them where the settings say so."""
    if not accelerator.is_main_process:
        return
    folder = settings.output / "reward"
    write_card(
        folder,
        title=f"Reward: {settings.reward}",
        summary=f"{LEARNT[settings.reward]} Higher is better. The equations are ByteEdit's (arXiv 2404.04860).",
        base=settings.model or "new weights",
        data=f"{settings.data}, split {settings.split}; {whose_rows(settings, len(held_out), measures)}",
        settings=steps_of(settings.output) | {k: v for k, v in settings.course().items() if v not in ("", {})},
        measures=measures,
        samples=samples(model, held_out, settings.reward),
    )
    shown = ", ".join(f"{name} {value:.3f}" for name, value in measures.items())
    print(f"{folder}: {shown} on {len(held_out)} held-out rows")
    if settings.push:
        print(push(folder, settings.push))


def whose_rows(settings: RewardSettings, count: int, measures: dict[str, float]) -> str:
    """Which rows a reward's numbers are of, how sure they are, and whether the weights were chosen by them."""
    said = f"the numbers are of the {count} rows of split {settings.held_out}"
    if "pair_accuracy" in measures:
        told = binomtest(round(measures["pair_accuracy"] * count), count).proportion_ci(method="wilson")
        said += f", 95 % interval of pair_accuracy: {told.low:.3f} to {told.high:.3f}"
    return said + (f"; {settings.watch} on them chose the weights" if settings.watch else "")


def samples(model: PreferenceReward | CoherenceReward, rows: Dataset, reward: str) -> dict[str, Image.Image]:
    """Strips of pictures by what they show, from the first rows of `reward`'s data."""
    return maps(model, rows) if reward == "coherence" else best_and_worst(model, rows, reward)


def best_and_worst(
    model: PreferenceReward, rows: Dataset, reward: str, count: int = 4, pool: int = 32
) -> dict[str, Image.Image]:
    """The `count` pictures with the highest and with the lowest scores among `pool` rows."""
    some = islice(examples(rows, SCHEMAS[reward], Skipped()), pool)
    pairs = [one for row in some for one in compared(row)]
    scores = model.score(*zip(*pairs, strict=True))
    ranked = [pairs[n] for n in np.argsort(scores)[::-1]]
    return {
        f"{title} scores: {'; '.join(prompt or 'no prompt' for _, prompt in part)}": strip([image for image, _ in part])
        for title, part in (("Highest", ranked[:count]), ("Lowest", ranked[-count:]))
    }


def maps(model: CoherenceReward, rows: Dataset, count: int = 4) -> dict[str, Image.Image]:
    """Pictures with their true mask (white = generated) and their map (white = taken for generated)."""
    some = list(islice(examples(rows, COHERENCE, Skipped()), count))
    generated = [
        Image.fromarray((255 * (1 - real)).astype(np.uint8)) for real in model.map([row["image"] for row in some])
    ]
    strips = [strip([row["image"], row["mask"], seen]) for row, seen in zip(some, generated, strict=True)]
    return {f"Picture {n}, what is generated, and what is taken for it": one for n, one in enumerate(strips, 1)}


def strip(pictures: list[Image.Image], height: int = 128, gap: int = 4) -> Image.Image:
    """Pictures side by side, each `height` pixels high."""
    tiles = [picture.convert("RGB").resize((picture.width * height // picture.height, height)) for picture in pictures]
    canvas = Image.new("RGB", (sum(tile.width + gap for tile in tiles) - gap, height), "white")
    left = 0
    for tile in tiles:
        canvas.paste(tile, (left, 0))
        left += tile.width + gap
    return canvas
