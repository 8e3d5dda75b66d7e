"""Tune an inpainting model on rewards: perceptual feedback learning, so that people prefer what it makes.

The settings are a preset's, and the command line's where it says otherwise (`--help` after the preset lists them). A
run that was killed goes on where it was. For several processes, `accelerate launch` instead of `python`:

    python examples/train_pefl.py examples/configs/picturebook/pefl.yaml
    accelerate launch examples/train_pefl.py examples/configs/sd15/pefl.yaml --data my-pictures
"""

import sys
from pathlib import Path

import tyro

from byteedit.training.boost import PeflSettings
from byteedit.training.run import train_pefl
from byteedit.training.settings import read

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(f"{__doc__}\nName a preset first.")
    train_pefl(tyro.cli(PeflSettings, default=read(PeflSettings, Path(sys.argv[1])), args=sys.argv[2:]))
