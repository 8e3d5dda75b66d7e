"""`byteedit train`: the trainings of this package, from a preset and `--set name=value`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from byteedit.commands.command import Command


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train a reward, or tune an inpainting model on pictures (inpaint), on rewards (pefl), or for few steps (fast).

    For several processes: `accelerate launch --no_python byteedit train ...`.
    """

    stage: tyro.conf.Positional[Literal["reward", "inpaint", "pefl", "fast"]]
    """What is trained."""

    preset: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PRESET")]
    """A YAML file of settings, such as those under examples/configs/."""

    set: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """A setting that shall differ from the preset, as in --set data=my-data --set steps=100."""

    settings: bool = False
    """List all settings of the stage, with their meaning and what they are by PRESET and --set, and train nothing."""

    def run(self) -> None:
        """Train, or go on training; print where the finished weights are and what they are worth."""
        from byteedit.training import run
        from byteedit.training.boost import PeflSettings
        from byteedit.training.phases import FastSettings
        from byteedit.training.reward import RewardSettings
        from byteedit.training.settings import explain, read
        from byteedit.training.sft import InpaintSettings

        kind, train = {
            "reward": (RewardSettings, run.train_reward),
            "inpaint": (InpaintSettings, run.train_inpaint),
            "pefl": (PeflSettings, run.train_pefl),
            "fast": (FastSettings, run.train_fast),
        }[self.stage]
        settings = read(kind, self.preset, self.set)
        print(explain(settings)) if self.settings else train(settings)
