"""Whole trainings, from settings to a folder with weights and a model card: what `byteedit train` and examples call."""

from accelerate import Accelerator
from datasets import Dataset

from byteedit.hub import push, write_card
from byteedit.rewards import CoherenceReward, PreferenceReward
from byteedit.training.loop import begin
from byteedit.training.reward import RewardSettings, fit, open_rows
from byteedit.training.samples import samples
from byteedit.training.towers import build

__all__ = ["train_reward"]

LEARNT = {
    "aesthetic": "Says how pleasing a picture is: a `PreferenceReward`, trained on pairs of pictures (Eq. 1).",
    "alignment": "Says how well a picture fits its prompt: a `PreferenceReward`, trained on pairs of captions (Eq. 5).",
    "coherence": "Says of every pixel whether it is real or generated: a `CoherenceReward`, trained on masks (Eq. 6).",
}


def train_reward(settings: RewardSettings) -> dict[str, float]:
    """Train a reward, or go on training it, into output/reward; returns its measures on held-out rows."""
    accelerator = begin(settings)
    with accelerator.main_process_first():
        rows, held_out = open_rows(settings, settings.split), open_rows(settings, settings.held_out)
    model = build(settings)
    measures = fit(accelerator, model, rows, held_out, settings)
    publish(accelerator, settings, model, held_out, measures)
    accelerator.end_training()
    return measures


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
        data=f"{settings.data}, split {settings.split}; the numbers are of split {settings.held_out}",
        settings={name: value for name, value in settings.course().items() if value not in ("", {})},
        measures=measures,
        samples=samples(model, held_out, settings.reward),
    )
    shown = ", ".join(f"{name} {value:.3f}" for name, value in measures.items())
    print(f"{folder}: {shown} on {len(held_out)} held-out rows")
    if settings.push:
        print(push(folder, settings.push))
