"""Acceleration as a whole stage: feedback learning against a discriminator, in phases of fewer and fewer steps.

Each phase is a run of its own, in a folder of its own, which goes on with what the one before kept: the weights, their
running means where there are any, and the discriminator. Optimisers start new. What is written says with which schedule
it is to be used. What is learnt is in `fast`; what is opened as for feedback learning alone, in `boost`.
Sources: ByteEdit (arXiv 2404.04860), "Accelerate"; the phase of 4 steps as UniFL (arXiv 2404.05595).
"""

import logging
from dataclasses import dataclass, field, fields, replace
from functools import partial
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from diffusers import UNet2DConditionModel
from torch import Tensor
from tyro.conf import Fixed

from byteedit import ByteEditInpaintPipeline
from byteedit.pipeline.opening import locate_model
from byteedit.rewards import CoherenceReward
from byteedit.schedule import Schedule
from byteedit.training.adapters import save_lora
from byteedit.training.base import as_written, open_base, rollout_scheduler, training_scheduler
from byteedit.training.boost import PeflSettings, Stage, spaced
from byteedit.training.checkpoints import sharded
from byteedit.training.fast import Adversarial, AdversarialSettings
from byteedit.training.reward import RewardSettings
from byteedit.training.settings import changed, check
from byteedit.training.towers import build
from byteedit.training.watching import Judge

__all__ = ["FastSettings", "fit", "open_models", "recommended_schedule"]

logger = logging.getLogger(__name__)

Kept = dict[str, dict[str, Tensor]]
"""What a phase hands on: trained parameters by name, of the `generator` and of the `discriminator`."""

PHASES = (
    {"name": "fast20", "T": 20, "T1": 15, "T2": 10},  # ByteEdit's first
    {"name": "fast8", "T": 8, "T1": 6, "T2": 3},  # its second
    {"name": "fast4", "T": 4, "T1": 3, "T2": 2},  # 4 steps as UniFL; T1 and T2 are ours
)

COMMON = ("base", "tuned", "rank", "alpha", "targets", "discriminator", "architecture", "mixed_precision")
"""Settings that all phases share: a phase goes on with the models of the one before, in the same processes."""


@dataclass(kw_only=True)
class FastSettings(PeflSettings, AdversarialSettings):
    """The settings of acceleration. Those of a phase are these, but for what the phase says itself."""

    free: ClassVar[frozenset[str]] = PeflSettings.free | {"before"}
    optional: ClassVar[frozenset[str]] = PeflSettings.optional | {"discriminator"}

    discriminator: str = "google/vit-base-patch16-224-in21k"
    """What the discriminator begins with: a CoherenceReward (folder, hub name, or coherence for the one that ships), or
    a ViT to take the tower from. Empty: new weights, and `architecture` says of which sizes. (Paper: a ViT)"""
    architecture: Fixed[dict[str, Any]] = field(default_factory=dict)
    """Fields of a new discriminator's config, in the preset only."""
    guidance_scale: float | None = 1.0
    """Guidance that what is tuned is watched with, and that it recommends: none."""
    timestep_spacing: Literal["", "trailing", "leading"] = "trailing"
    """Which steps T steps are: trailing begins at the noisiest one, as training and inference must with few."""
    from_noise: bool = False
    """Inference is to begin with pure noise and run all T steps, not where the rollouts of training begin."""
    phases: Fixed[tuple[dict[str, Any], ...]] = PHASES
    """The phases in turn, in the preset only: of each the `name`, and the settings that differ from those here. Each
    writes to output/NAME. Empty: one phase with the settings as they are here, which writes to output."""
    before: Fixed[str] = ""
    """What the phase before wrote; never given, but found by `each`."""

    def __post_init__(self):
        super().__post_init__()
        check(self)
        if self.mixed_precision == "fp16":
            raise ValueError("mixed_precision is fp16, which two optimisers cannot share; take bf16, or no.")
        if wrong := [phase for phase in self.phases if not isinstance(phase, dict)]:
            raise ValueError(f"phases has {wrong[0]!r}; a phase is its name and settings, as in {{name: fast8, T: 8}}.")
        self.phases = tuple(dict(phase) for phase in self.phases)
        self._split()

    def each(self) -> list["FastSettings"]:
        """The settings of each phase, in turn; its rows come in another order than those of the one before.

        Warns of settings beside the phases that none of them follows.
        """
        phases = self._split()
        for setting in fields(self):
            name, value = setting.name, getattr(self, setting.name)
            own = [getattr(phase, name) for phase in phases]
            if all(name in phase for phase in self.phases) and value not in (setting.default, *own):
                logger.warning("No phase follows %s=%s: each has its own, %s; set it there.", name, value, own)
        return phases

    def _split(self) -> list["FastSettings"]:
        """The settings of each phase.

        Raises:
            ValueError: a phase has no name, or that of another one, or settings that do not exist, fit, or can be
                another phase's only.
        """
        names = [phase.get("name") for phase in self.phases]
        if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
            raise ValueError(f"phases are called {names}; give each a name of its own, such as fast8.")
        made: list[FastSettings] = []
        for number, phase in enumerate(self.phases):
            if lost := sorted(phase.keys() & {"output", "phases", "before"}):
                raise ValueError(f"phase {phase['name']} has {lost[0]}, which is not a phase's to say; leave it out.")
            last = number == len(names) - 1
            values = {"seed": self.seed + number, "push": self.push if last else "", "soup": self.soup if last else ()}
            values |= phase
            values |= {"output": self.output / values.pop("name"), "phases": ()}
            values |= {"before": str(made[-1].written) if made else ""}
            made.append(changed(self, values, f"phase {phase['name']}"))
        for phase, name in product(made[1:], COMMON):
            if (was := getattr(made[0], name)) != (now := getattr(phase, name)):
                raise ValueError(
                    f"phase {phase.output.name} has {name} {now!r}, the first one {was!r}; a phase goes on with what "
                    f"the one before kept, so give {name} once, beside the phases."
                )
        return made or [self]

    @property
    def start(self) -> str:
        """What training begins with, in words: the phase before, or else what `tuned` names, on the base."""
        return f"{self.base}, with {self.before}" if self.before else super().start

    def told(self) -> dict[str, Any]:
        """The settings that a model card tells; of a later phase not those with which the first began."""
        first = ("tuned", "discriminator", "architecture") if self.before else ()
        return {name: value for name, value in super().told().items() if name not in ("phases", *first)}

    @property
    def written(self) -> Path:
        """The folder of the finished weights: a LoRA, or a whole checkpoint."""
        return self.output / ("lora" if self.rank else "checkpoint")


def recommended_schedule(pipe: ByteEditInpaintPipeline, settings: FastSettings) -> Schedule:
    """How what a phase makes of `pipe` is to be used."""
    init = "noise" if settings.from_noise else settings.init
    return spaced(pipe, settings, Schedule.trained(settings.T, settings.T1, init, None))


def _follow(pipe: ByteEditInpaintPipeline, settings: FastSettings) -> None:
    """Use `pipe` as what a phase makes of it: few steps are right with the solver that they are learnt with only."""
    pipe.follow(recommended_schedule(pipe, settings))
    pipe.scheduler = rollout_scheduler(pipe.scheduler)


def _begun(pipe: ByteEditInpaintPipeline, discriminator: CoherenceReward, settings: FastSettings) -> dict[str, str]:
    """A digest of the weights that the phase before kept, if there was one: with others, a run does not go on."""
    if not settings.before:
        return {}
    told = sha256()
    for model in (pipe.unet, discriminator):
        for name, value in sorted(model.named_parameters()):
            if value.requires_grad:
                told.update(name.encode() + value.detach().cpu().float().numpy().tobytes())
    return {"weights of the phase before": told.hexdigest()[:12]}


def open_models(settings: FastSettings, kept: Kept | None = None) -> tuple[ByteEditInpaintPipeline, CoherenceReward]:
    """The pipeline that a phase tunes and its discriminator, on the CPU, as the phase before `kept` them.

    Raises:
        ValueError: `tuned`, `discriminator` or what was kept is not what it should be.
    """
    pipe = open_base(replace(settings, tuned="", share_from="base") if kept else settings)
    wanted = {"reward": "coherence", "model": settings.discriminator, "architecture": settings.architecture}
    unused = {"data": settings.data, "output": settings.output, "steps": 0, "batch_size": 0, "lr": 0.0}
    discriminator = build(RewardSettings(**wanted, **unused))
    if kept:
        for model, name in ((pipe.unet, "generator"), (discriminator, "discriminator")):
            if unknown := model.load_state_dict(kept[name], strict=False).unexpected_keys:
                raise ValueError(f"The {name} of the phase before has {unknown[0]}, which this phase's has not.")
    return pipe, discriminator


def fit(
    accelerator: Accelerator,
    pipe: ByteEditInpaintPipeline,
    discriminator: CoherenceReward,
    settings: FastSettings,
    judge: Judge | None = None,
) -> tuple[Kept, dict[str, float]]:
    """One phase: tune the UNet of `pipe`, write it, and return what is kept, and its measures on what is held out.

    The UNet goes to output/lora, or with all else to output/checkpoint; the discriminator to output/discriminator. Both
    models hold what was written in the end. judge: as in `boost.fit`; it sees a pipeline that has the phase's schedule.

    Raises:
        ValueError: a reward or data are not where they should be, or training is sharded or DeepSpeed's.
    """
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        raise ValueError("Acceleration trains two models, of which DeepSpeed would step one only; launch with DDP.")
    if sharded(accelerator):
        raise ValueError("Acceleration needs whole parameters on every process; launch with DDP, not FSDP or ZeRO-3.")
    _follow(pipe, settings)
    stage = Stage(accelerator, pipe, settings, judge, partial(Adversarial, discriminator=discriminator))
    kept = stage.train(_begun(pipe, discriminator, settings))
    # What is written may be a `share` of what was learnt; the next phase goes on from all of it, which is `kept`.
    pipe.unet.load_state_dict(as_written(kept["generator"], settings), strict=False)
    discriminator.load_state_dict(kept["discriminator"], strict=False)
    pipe.unet.eval(), discriminator.eval()
    measures = stage.measure()  # asked as it was before the first step
    pipe.follow(replace(pipe.schedule, **settings.recommends))
    _write(accelerator, pipe, discriminator, settings)
    return kept, measures


def _write(
    accelerator: Accelerator, pipe: ByteEditInpaintPipeline, discriminator: CoherenceReward, settings: FastSettings
) -> None:
    """Write both models as they are, on the main process."""
    if accelerator.is_main_process:
        if settings.rank:
            dtype = torch.float16 if settings.half else torch.float32
            save_lora(pipe.unet, settings.written, dtype, pipe.schedule)
        else:
            _save_whole(pipe, settings)
        accelerator.unwrap_model(discriminator, keep_fp32_wrapper=False).save_pretrained(
            settings.output / "discriminator"
        )
    accelerator.wait_for_everyone()


def _save_whole(pipe: ByteEditInpaintPipeline, settings: FastSettings) -> None:
    """Write the base with the tuned UNet and the schedule; its other parts as they came, whatever training used.

    Without a safety checker, as the base was opened: it may be one that does not open, and is not asked in training.
    """
    unet = UNet2DConditionModel.from_config(pipe.unet.config)
    unet.load_state_dict(pipe.unet.state_dict())
    parts = {"unet": unet.half() if settings.half else unet, "safety_checker": None, "feature_extractor": None}
    whole = ByteEditInpaintPipeline.from_pretrained(locate_model(settings.base), **parts)
    whole.follow(pipe.schedule)
    whole.scheduler = training_scheduler(whole.scheduler)
    whole.save_pretrained(settings.written)
