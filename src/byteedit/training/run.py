"""Whole trainings, from settings to a folder with weights and a model card: what `byteedit train` and examples call."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict

from accelerate import Accelerator
from datasets import Dataset

from byteedit.data.sources import find_files, has_splits
from byteedit.files import alone
from byteedit.training import boost, phases, sft
from byteedit.training.base import open_base
from byteedit.training.cards import WHERE, describe, describe_reward, how
from byteedit.training.loop import begin
from byteedit.training.reward import RewardSettings, fit, open_rows
from byteedit.training.settings import Settings
from byteedit.training.towers import build
from byteedit.training.watching import Judge

__all__ = ["begun", "train_fast", "train_inpaint", "train_pefl", "train_reward"]


@contextmanager
def begun(settings: Settings) -> Iterator[Accelerator]:
    """The accelerator of a run that has its output to itself until all is written there, model card included.

    Raises:
        ValueError: another training is at work there, or nothing would be learnt with these settings.
    """
    accelerator = begin(settings)
    with alone(settings.output, "training") if accelerator.is_main_process else nullcontext():
        yield accelerator


def train_reward(settings: RewardSettings) -> dict[str, float]:
    """Train a reward, or go on training it, into output/reward; returns its measures on held-out rows."""
    with begun(settings) as accelerator:
        rows, held_out = open_splits(accelerator, settings)
        model = build(settings)
        measures = fit(accelerator, model, rows, held_out, settings)
        describe_reward(accelerator, settings, model, held_out, measures)
    accelerator.end_training()
    return measures


def open_splits(accelerator: Accelerator, settings: RewardSettings) -> tuple[Dataset, Dataset]:
    """The rows that are trained on and those held out, alike on every process.

    Raises:
        ValueError: no split is held out; they would be the same rows, and the settings do not name one split twice; or
            a split has none.
    """
    if not settings.held_out:
        raise ValueError(
            "held_out is empty, and a reward is measured on a split; name one that is not learnt, such as validation, "
            f"or set held_out to {settings.split} to measure on the rows that are learnt."
        )
    if settings.held_out != settings.split and not has_splits(settings.data):
        raise ValueError(
            f"{settings.data} gives the same rows for every split, so {settings.held_out!r} would hold out nothing; "
            f"name a folder with {settings.split}.parquet and {settings.held_out}.parquet (or .jsonl), or set held_out "
            f"to {settings.split} to measure on the rows that are learnt."
        )
    known = [set(find_files(settings.data, split)) for split in (settings.split, settings.held_out)]
    if settings.held_out != settings.split and known[0] & known[1]:
        raise ValueError(
            f"{min(known[0] & known[1])} is of the split {settings.held_out} and of {settings.split}, too, so it would "
            f"not be held out; call the other files {settings.split}.parquet, or {settings.split}-SOMETHING.jsonl."
        )
    try:
        held_out = open_rows(settings, settings.held_out, accelerator)
    except ValueError as error:
        raise ValueError(f"held_out is {settings.held_out}: {error}") from error
    return open_rows(settings, settings.split, accelerator), held_out


def train_inpaint(settings: sft.InpaintSettings) -> dict[str, float]:
    """Fine-tune an inpainting model, or go on, into output/unet or output/lora; returns its held-out measures."""
    with begun(settings) as accelerator:
        measures = sft.fit(accelerator, open_base(settings), settings)
        summary = (
            "An inpainting model that has learnt to denoise pictures under masks, as ByteEdit's (arXiv 2404.04860)."
        )
        if settings.absorbed_guidance > 1:
            summary += f" It has taken guidance of {settings.absorbed_guidance:g} in: ask for none, `guidance_scale=1`."
        describe(accelerator, settings, "Inpainting model", summary, measures)
    accelerator.end_training()
    return measures


def train_pefl(settings: boost.PeflSettings, judge: Judge | None = None) -> dict[str, float]:
    """Tune an inpainting model on rewards, or go on, into output/unet or output/lora; returns its measures.

    judge: measures of its own, as in `boost.fit`; only scripts that may see what no reward was trained on give one.
    """
    with begun(settings) as accelerator:
        pipe = open_base(settings)
        own = pipe.schedule
        measures = boost.fit(accelerator, pipe, settings, judge)
        followed = ", ".join(f"{name} (weight {weight:g})" for name, weight in settings.rewards.items() if weight)
        summary = (
            f"An inpainting model tuned by ByteEdit's perceptual feedback learning (arXiv 2404.04860) on {followed}."
        )
        before = asdict(own)
        use = {name: value for name, value in asdict(pipe.schedule).items() if value != before[name]}
        if boost.recommending(settings, own, pipe.schedule):
            summary += f" To be used {how(pipe.schedule)}. {WHERE}"
        elif use:
            said = f"{how(pipe.schedule)}, " if use.keys() & {"guidance_scale", "guidance_end", "noise_scale"} else ""
            summary += f" To be used {said}as below."
        describe(accelerator, settings, "Boosted inpainting model", summary, measures, use)
    accelerator.end_training()
    return measures


def train_fast(settings: phases.FastSettings, judge: Judge | None = None) -> dict[str, float]:
    """Accelerate an inpainting model, phase by phase, or go on in the phase where a run was; the last one's measures.

    Each phase writes to output/PHASE/lora, or output/PHASE/checkpoint. judge: as in `train_pefl`.
    """
    kept, measures = None, {}
    for phase in settings.each():
        with begun(phase) as accelerator:
            pipe, discriminator = phases.open_models(phase, kept)
            kept, measures = phases.fit(accelerator, pipe, discriminator, phase, judge)
            own = pipe.schedule
            calls = f"{own.num_inference_steps} steps, of which the share {own.strength:g} is run, {how(own)}"
            summary = f"An inpainting model tuned by ByteEdit's acceleration (arXiv 2404.04860) for {calls}. {WHERE}"
            describe(accelerator, phase, f"Inpainting model for {phase.T} steps", summary, measures)
        for tracker in accelerator.trackers:
            tracker.finish()
        accelerator.free_memory()
    accelerator.end_training()
    return measures
