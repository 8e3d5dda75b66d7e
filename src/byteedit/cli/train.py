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
        from byteedit.training.settings import read

        _train_reward(read(RewardSettings, self.preset, self.set))


def _train_reward(settings) -> None:
    from byteedit.hub import push, write_reward_card
    from byteedit.training.loop import begin
    from byteedit.training.reward import fit, open_rows
    from byteedit.training.samples import samples
    from byteedit.training.towers import build

    accelerator = begin(settings)
    with accelerator.main_process_first():
        rows, held_out = open_rows(settings, settings.split), open_rows(settings, settings.held_out)
    model = build(settings)
    measures = fit(accelerator, model, rows, held_out, settings)
    if accelerator.is_main_process:
        write_reward_card(settings, measures, samples(model, held_out, settings.reward))
        if settings.push:
            print(push(settings.output / "reward", settings.push))
        for name, value in measures.items():
            print(f"{name:<13} {value:.4f} on {len(held_out)} held-out rows")
        print(settings.output / "reward")
    accelerator.end_training()
