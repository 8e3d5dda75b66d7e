"""Whole trainings, from settings to a folder with weights and a model card: what `byteedit train` and examples call."""

from dataclasses import asdict

from accelerate import Accelerator
from datasets import Dataset
from scipy.stats import binomtest

from byteedit.data.sources import has_splits
from byteedit.hub import push, write_card
from byteedit.rewards import CoherenceReward, PreferenceReward
from byteedit.schedule import Schedule
from byteedit.training import boost, phases, sft
from byteedit.training.base import open_base
from byteedit.training.cards import describe
from byteedit.training.loop import begin
from byteedit.training.reward import RewardSettings, fit, open_rows
from byteedit.training.samples import samples
from byteedit.training.towers import build
from byteedit.training.watching import Judge

__all__ = ["train_fast", "train_inpaint", "train_pefl", "train_reward"]

LEARNT = {
    "aesthetic": "Says how pleasing a picture is: a `PreferenceReward`, trained on pairs of pictures (Eq. 1).",
    "alignment": "Says how well a picture fits its prompt: a `PreferenceReward`, trained on pairs of captions (Eq. 5).",
    "coherence": "Says of every pixel whether it is real or generated: a `CoherenceReward`, trained on masks (Eq. 6).",
}

WHERE = "byteedit knows that from the file; elsewhere, ask for it in the call."


def train_reward(settings: RewardSettings) -> dict[str, float]:
    """Train a reward, or go on training it, into output/reward; returns its measures on held-out rows."""
    accelerator = begin(settings)
    rows, held_out = open_splits(accelerator, settings)
    model = build(settings)
    measures = fit(accelerator, model, rows, held_out, settings)
    publish(accelerator, settings, model, held_out, measures)
    accelerator.end_training()
    return measures


def open_splits(accelerator: Accelerator, settings: RewardSettings) -> tuple[Dataset, Dataset]:
    """The rows that are trained on and those held out, alike on every process.

    Raises:
        ValueError: they would be the same rows, and the settings do not name one split twice; or a split has none.
    """
    if settings.held_out != settings.split and not has_splits(settings.data):
        raise ValueError(
            f"{settings.data} gives the same rows for every split, so {settings.held_out!r} would hold out nothing; "
            f"name a folder with {settings.split}.parquet and {settings.held_out}.parquet (or .jsonl), or set held_out "
            f"to {settings.split} to measure on the rows that are learnt."
        )
    return open_rows(settings, settings.split, accelerator), open_rows(settings, settings.held_out, accelerator)


def publish(
    accelerator: Accelerator,
    settings: RewardSettings,
    model: PreferenceReward | CoherenceReward,
    held_out: Dataset,
    measures: dict[str, float],
) -> None:
    """Write the reward's card, on the main process, and upload the folder where the settings say so."""
    if not accelerator.is_main_process:
        return
    folder = settings.output / "reward"
    write_card(
        folder,
        title=f"Reward: {settings.reward}",
        summary=f"{LEARNT[settings.reward]} Higher is better. The equations are ByteEdit's (arXiv 2404.04860).",
        base=settings.model or "new weights",
        data=f"{settings.data}, split {settings.split}; {whose(settings, len(held_out), measures)}",
        settings={name: value for name, value in settings.course().items() if value not in ("", {})},
        measures=measures,
        samples=samples(model, held_out, settings.reward),
    )
    shown = ", ".join(f"{name} {value:.3f}" for name, value in measures.items())
    print(f"{folder}: {shown} on {len(held_out)} held-out rows")
    if settings.push:
        print(push(folder, settings.push))


def whose(settings: RewardSettings, count: int, measures: dict[str, float]) -> str:
    """Which rows a reward's numbers are of, how sure they are, and whether the weights were chosen by them."""
    said = f"the numbers are of the {count} rows of split {settings.held_out}"
    if "pair_accuracy" in measures:
        told = binomtest(round(measures["pair_accuracy"] * count), count).proportion_ci(method="wilson")
        said += f", 95 % interval of pair_accuracy: {told.low:.3f} to {told.high:.3f}"
    return said + (f"; {settings.watch} on them chose the weights" if settings.watch else "")


def train_inpaint(settings: sft.InpaintSettings) -> dict[str, float]:
    """Fine-tune an inpainting model, or go on, into output/unet or output/lora; returns its held-out measures."""
    accelerator = begin(settings)
    measures = sft.fit(accelerator, open_base(settings), settings)
    summary = "An inpainting model that has learnt to denoise pictures under masks, as ByteEdit's (arXiv 2404.04860)."
    if settings.absorbed_guidance > 1:
        summary += f" It has taken guidance of {settings.absorbed_guidance:g} in: ask for none, `guidance_scale=1`."
    describe(accelerator, settings, "Inpainting model", summary, measures)
    accelerator.end_training()
    return measures


def train_pefl(settings: boost.PeflSettings, judge: Judge | None = None) -> dict[str, float]:
    """Tune an inpainting model on rewards, or go on, into output/unet or output/lora; returns its measures.

    judge: measures of its own, as in `boost.fit`; only scripts that may see what no reward was trained on give one.
    """
    accelerator = begin(settings)
    pipe = open_base(settings)
    own = pipe.schedule
    measures = boost.fit(accelerator, pipe, settings, judge)
    followed = ", ".join(f"{name} (weight {weight:g})" for name, weight in settings.rewards.items() if weight)
    summary = f"An inpainting model tuned by ByteEdit's perceptual feedback learning (arXiv 2404.04860) on {followed}."
    before = asdict(own)
    use = {name: value for name, value in asdict(pipe.schedule).items() if value != before[name]}
    if boost.recommending(settings, own, pipe.schedule):
        summary += f" To be used {how(pipe.schedule)}. {WHERE}"
    elif use:
        summary += f" To be used {how(pipe.schedule)}, as below."
    describe(accelerator, settings, "Boosted inpainting model", summary, measures, use)
    accelerator.end_training()
    return measures


def how(schedule: Schedule) -> str:
    """The guidance and the noise of a schedule, in words."""
    scale, end, noise_scale = schedule.guidance_scale, schedule.guidance_end, schedule.noise_scale
    guided = "without guidance" if scale <= 1 else f"with guidance {scale:g}"
    if scale > 1 and end < 1:
        guided += f" in the first {100 * end:g} % of the steps (`guidance_end`)"
    return guided + ("" if noise_scale == 1 else f"; each step hands on {noise_scale:g} of its noise (`noise_scale`)")


def train_fast(settings: phases.FastSettings, judge: Judge | None = None) -> dict[str, float]:
    """Accelerate an inpainting model, phase by phase, or go on in the phase where a run was; the last one's measures.

    Each phase writes to output/PHASE/lora, or output/PHASE/checkpoint. judge: as in `train_pefl`.
    """
    kept, measures = None, {}
    for phase in settings.each():
        accelerator = begin(phase)
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
