"""`byteedit train`: the trainings of this package, from a preset and `--set name=value`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from byteedit.cli.command import Command


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train a reward. For several processes: `accelerate launch --no_python byteedit train ...`."""

    stage: tyro.conf.Positional[Literal["reward"]]
    """What is trained."""

    preset: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PRESET")]
    """A YAML file of settings, such as those under examples/configs/. docs/training.md says what they mean."""

    set: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """A setting that shall differ from the preset, as in --set data=my-data --set steps=100."""

    def run(self) -> None:
        """Train, or go on training; print where the reward is and what it is worth."""
        from byteedit.training.reward import RewardSettings
        from byteedit.training.run import train_reward
        from byteedit.training.settings import read

        train_reward(read(RewardSettings, self.preset, self.set))
