"""`byteedit convert`: published weights in another project's layout, as a folder that byteedit opens."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from byteedit.commands.command import Command


@dataclass(frozen=True, kw_only=True)
class Convert(Command):
    """Turn a published reward into a folder for `PreferenceReward.from_pretrained` and `byteedit score --reward`."""

    kind: tyro.conf.Positional[Literal["imagereward"]]
    """Whose file it is."""

    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """The weights as they were published: ImageReward.pt. Read as tensors only; nothing in it is run."""

    output: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """The folder to be written, which must not exist yet."""

    tokenizer: str = "bert-base-uncased"
    """Folder or hub name of the tokenizer, since the file has no vocabulary."""

    head_width: int = 64
    """Channels of one attention head, which the tensors do not tell; 64 in the published file."""

    def run(self) -> None:
        """Convert, and print where the reward is and how large."""
        from byteedit.rewards.convert import convert_imagereward

        convert_imagereward(self.file, self.output, tokenizer=self.tokenizer, head_width=self.head_width)
        size = sum(file.stat().st_size for file in self.output.iterdir())
        print(f"{self.output}: {size / 1e6:,.1f} MB, for PreferenceReward.from_pretrained")
