"""Feedback learning as a whole stage: rewards and data are opened, a UNet is tuned on them, watched, and written.

What is learnt is `pefl`'s, the loop that learns is `loop`, what is opened and written `base`'s, what is watched in
between `watching`'s. A measure that no reward was trained on, the gold judge, comes from outside as `judge`: nothing
that trains may know it. Source: ByteEdit (arXiv 2404.04860), "Boost".
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from accelerate import Accelerator
from PIL.Image import Image
from torch import Tensor, nn

from byteedit import ByteEditInpaintPipeline
from byteedit.data.skipped import Skipped
from byteedit.diffusion import is_flow
from byteedit.hub import asked_for, nowhere
from byteedit.rewards import PreferenceReward, Reward
from byteedit.rewards.opening import SHIPPED, locate, open_reward
from byteedit.schedule import Schedule
from byteedit.training.adapters import warn_of_schedule
from byteedit.training.base import (
    TuneSettings,
    as_written,
    encode_text,
    make_items,
    open_data,
    open_held_out,
    rollout_scheduler,
    to_device,
    write,
)
from byteedit.training.checkpoints import sharded
from byteedit.training.loop import train
from byteedit.training.pefl import Features, Feedback, FeedbackSettings
from byteedit.training.streams import open_batches
from byteedit.training.watching import HeldOut, Judge, keep_sheet
from byteedit.vgg import VGGFeatures

__all__ = ["PeflSettings", "Stage", "fit", "followed", "open_features", "open_rewards", "spaced"]

RECOMMENDED = ("guidance_scale", "guidance_end", "noise_scale")


@dataclass(kw_only=True)
class PeflSettings(TuneSettings, FeedbackSettings):
    """The settings of feedback learning as a stage."""

    free: ClassVar[frozenset[str]] = TuneSettings.free | {"shown", "recommends"}
    optional: ClassVar[frozenset[str]] = frozenset({"features"})

    rewards: dict[str, float]
    """The rewards by name, each with its weight in Eq. 4, as in {aesthetic: 1, alignment: 1}. One of weight 0 is not
    followed, only measured on what is held out."""
    reward_models: dict[str, str] = field(default_factory=dict)
    """Where a reward of that name is: a folder or hub name, as in {imagereward: my-rewards/imagereward}, or
    pickscore:FOLDER. Without, the names aesthetic, alignment and coherence are those in the package, which know its
    picture book."""
    features: str = "timm/vgg16.tv_in1k"
    """What L_vgg compares: a VGG16, by folder or hub name, or the vision tower of a reward, by its name here. Empty
    leaves L_vgg out. (Paper: VGG)"""
    guidance_scale: float | None = None
    """Guidance that what is tuned is watched with, and that its LoRA recommends; without, the base's own. Rollouts have
    none, so that feedback learning takes over much of what guidance did, and with both, colours and edges harden."""
    timestep_spacing: Literal["", "trailing", "leading"] = ""
    """Which steps T steps are; without, as the base has them, since diffusers' own pipelines do not hear of it. What is
    watched has them, too, and a LoRA recommends them. Trailing begins at the noisiest one. (Paper: "step 999")"""
    recommends: dict[str, float] = field(default_factory=dict)
    """What of guidance (`guidance_scale`, `guidance_end`) and noise (`noise_scale`) a LoRA recommends that it is not
    watched with: {guidance_scale: 2}. So they can be chosen when it is learnt; the run, started again, only writes it
    anew. (Ours)"""
    shown: int = 8
    """How many of the held-out rows are shown, in output/validation."""

    def __post_init__(self):
        super().__post_init__()
        try:
            self.rewards = {name: float(weight) for name, weight in self.rewards.items()}
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"rewards is {self.rewards!r}; give weights by name, as in {{aesthetic: 1}}.") from None
        if not any(self.rewards.values()) or not all(0 <= weight < math.inf for weight in self.rewards.values()):
            raise ValueError(f"rewards is {self.rewards}; give one a weight above 0, and none below.")
        if unknown := sorted(self.rewards.keys() - self.reward_models.keys() - set(SHIPPED)):
            raise ValueError(
                f"rewards has {unknown[0]}, which is none of {', '.join(SHIPPED)}; say where it is, as in "
                f"reward_models={{{unknown[0]}: FOLDER}}."
            )
        known = [*self.rewards, *self.reward_models, *SHIPPED]
        if unknown := [name for name in self.prompted if name not in known]:
            raise ValueError(
                f"prompted has {unknown[0]!r}, which is no reward; there are {', '.join(dict.fromkeys(known))}."
            )
        if unknown := sorted(self.recommends.keys() - set(RECOMMENDED)):
            raise ValueError(f"recommends has {unknown[0]}; a LoRA recommends {', '.join(RECOMMENDED)}.")
        replace(Schedule(num_inference_steps=self.T, guidance_scale=1.0), **self.recommends)  # refuses what is no scale
        if self.recommends and not self.rank:
            raise ValueError("recommends is what a LoRA recommends, and rank is 0: all weights are trained.")

    def locate_reward(self, reward: str) -> str:
        """Where a reward is, by its name."""
        return locate(self.reward_models.get(reward, reward))


def spaced(pipe: ByteEditInpaintPipeline, settings: PeflSettings, schedule: Schedule) -> Schedule:
    """A schedule with the spacing, the guidance and the noise that the settings name; a flow has steps of its own."""
    noise_scale = settings.noise_scale ** (settings.T / schedule.num_inference_steps)  # in T steps, then, the setting's
    schedule = replace(schedule, noise_scale=noise_scale)
    if settings.timestep_spacing and not is_flow(pipe.scheduler):
        schedule = replace(schedule, timestep_spacing=settings.timestep_spacing)
    return schedule if settings.guidance_scale is None else replace(schedule, guidance_scale=settings.guidance_scale)


def open_rewards(accelerator: Accelerator, settings: PeflSettings) -> dict[str, nn.Module]:
    """The rewards by name, fixed, in evaluation mode, on the device, in float32: so what is held out is measured.

    Those of weight 0 only where pictures are held out, on which alone they are measured.

    Raises:
        ValueError: there is none where one should be.
    """
    with accelerator.main_process_first():
        asked = [name for name, weight in settings.rewards.items() if weight or settings.held_out]
        rewards = {name: open_reward(settings.locate_reward(name)) for name in asked}
    return {name: reward.requires_grad_(False).eval().to(accelerator.device) for name, reward in rewards.items()}


def followed(
    accelerator: Accelerator, settings: PeflSettings, rewards: Mapping[str, nn.Module]
) -> dict[str, tuple[Reward, float]]:
    """The rewards that are learnt from, each with its weight, as `Feedback` takes them: in bfloat16 where training is,
    by autocast, which leaves their weights as they are; else in float32, since float16 gives NaN.
    """
    low = lowered(accelerator)
    return {name: (low(rewards[name].rate), weight) for name, weight in settings.rewards.items() if weight}


def lowered(accelerator: Accelerator) -> torch.autocast:
    """What a function is decorated with, to run in bfloat16 where training does."""
    return torch.autocast(accelerator.device.type, torch.bfloat16, accelerator.mixed_precision == "bf16")


def open_features(
    accelerator: Accelerator, settings: PeflSettings, rewards: Mapping[str, nn.Module]
) -> Features | None:
    """What L_vgg compares, on the device; the tower of one of `rewards` is shared with it.

    Raises:
        ValueError: it is the tower of a reward that has none, or there are no such weights.
    """
    name = settings.features
    if not name:
        return None
    known = {**settings.reward_models, **dict.fromkeys(SHIPPED)}
    if name not in known and nowhere(name):
        raise ValueError(
            f"features is {name}, and nothing is there; give a folder or a hub name, owner/name, of a VGG16, or one of "
            f"{', '.join(known)}; or leave it empty, without L_vgg."
        )
    if name not in known:
        with accelerator.main_process_first(), asked_for("VGG16 for features", name):
            return VGGFeatures.from_pretrained(name).to(accelerator.device)
    with accelerator.main_process_first():
        reward = rewards[name] if name in rewards else open_reward(settings.locate_reward(name)).to(accelerator.device)
    if not isinstance(reward, PreferenceReward):
        raise ValueError(f"features is {name}, a {type(reward).__name__}; take a PreferenceReward's tower, or a VGG16.")
    return lowered(accelerator)(reward.requires_grad_(False).eval().features)


class Stage:
    """Feedback learning with all that it needs, opened: first `train`, then `measure` what was learnt.

    pipe: its UNet is tuned, for the schedule that it has now. judge: as in `fit`. kind: what is learnt, `Feedback` or
    what takes the same arguments.

    Raises:
        ValueError: a reward or data are not where they should be.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        pipe: ByteEditInpaintPipeline,
        settings: PeflSettings,
        judge: Judge | None = None,
        kind: Callable[..., Feedback] = Feedback,
    ):
        self.accelerator, self.pipe, self.settings, self.skipped = accelerator, pipe, settings, Skipped()
        rewards = open_rewards(accelerator, settings)
        features = open_features(accelerator, settings, rewards)
        with accelerator.main_process_first():
            self.edits = open_data(settings.data, settings, self.skipped)
            known = open_held_out(pipe, settings, self.skipped)
        to_device(pipe, accelerator)
        self.feedback = kind(
            None if sharded(accelerator) else pipe.unet,
            pipe.vae,
            partial(encode_text, pipe),
            rollout_scheduler(pipe.scheduler),
            followed(accelerator, settings, rewards),
            settings,
            features,
        )
        rates = {name: reward.rate for name, reward in rewards.items()}
        self.held_out = HeldOut(accelerator, pipe, rates, known, judge, settings.prompted)
        self.watched = bool(known or judge)

    def train(self, data: dict[str, Any] | None = None) -> dict[str, dict[str, Tensor]]:
        """What `loop.train` keeps, by objective; `data` must be the same, too, where a run goes on."""
        items = make_items(self.pipe, self.edits, self.settings, self.feedback.draw_noise)
        kept = train(
            self.accelerator,
            self.feedback.objectives(self.pipe.unet),
            open_batches(self.edits, items.prepare, self.settings, self.skipped, self.accelerator),
            self.settings,
            validate=self._validate if self.watched else None,
            validate_first=self.watched,
            data=self.edits.extent() | (data or {}),
        )
        self.skipped.report()
        return kept

    def measure(self) -> dict[str, float]:
        """Measures of the pipeline as it is now, if anything is watched; the sheet goes to validation/kept.png."""
        return keep_sheet(self._validate(), self.settings.output) if self.watched else {}

    def _validate(self, *models: nn.Module) -> dict[str, float | Image]:
        return self.held_out.measure(steps=self.settings.T, shown=self.settings.shown)


def fit(
    accelerator: Accelerator, pipe: ByteEditInpaintPipeline, settings: PeflSettings, judge: Judge | None = None
) -> dict[str, float]:
    """Tune the UNet of `pipe` on rewards; write output/unet, or output/lora; return its measures on what is held out.

    What is written and measured are the weights that `train` keeps; `pipe` has them in the end. Measures are the same
    on every process. pipe: as `base.open_base` gives it. judge: measures of its own of the pipeline as it is then, such
    as {"gold": 0.7}, to be watched beside the rewards' scores.

    Raises:
        ValueError: a reward or data are not where they should be, or training is sharded where that cannot be.
    """
    if sharded(accelerator):
        _check_sharded(settings, judge)
    own = pipe.schedule
    if settings.rank and settings.guidance_scale is None and not settings.recommends:
        warn_of_schedule(settings.tuned)
    pipe.follow(spaced(pipe, settings, own))
    stage = Stage(accelerator, pipe, settings, judge)
    kept = stage.train()["pefl"]
    if stage.watched:
        pipe.unet.load_state_dict(as_written(kept, settings), strict=False)
        pipe.unet.eval()
    measures = stage.measure()  # asked as it was before the first step
    pipe.follow(replace(pipe.schedule, **settings.recommends))
    if accelerator.is_main_process:
        write(pipe.unet, kept, settings, pipe.schedule if recommending(settings, own, pipe.schedule) else None)
    accelerator.wait_for_everyone()
    return measures


def recommending(settings: PeflSettings, base: Schedule, schedule: Schedule) -> bool:
    """Whether a LoRA is to carry the schedule that it was learnt for, or leaves it to the base."""
    return settings.rank > 0 and (settings.guidance_scale is not None or schedule != base)


def _check_sharded(settings: PeflSettings, judge: Judge | None) -> None:
    """Raise a ValueError for what cannot be where no process holds whole parameters."""
    if settings.rank or settings.held_out or judge:
        raise ValueError(
            "A LoRA, held-out pictures and a judge need whole parameters on every process; launch with DDP instead of "
            "FSDP or ZeRO-3, or set rank to 0 and leave held_out empty."
        )
    if settings.sampling == "uniform":
        raise ValueError(
            "sampling is uniform, so processes take unlike numbers of steps, and where parameters are sharded wait for "
            "each other for ever; set sampling to stratified, or launch with DDP."
        )
