"""Tune an inpainting model on rewards and a discriminator for fewer and fewer steps, without guidance: 20, 8, 4.

The settings are a preset's, and the command line's where it says otherwise (`--help` after the preset lists them). A
run that was killed goes on where it was. For several processes, `accelerate launch` instead of `python`:

    python examples/train_fast.py examples/configs/picturebook/fast.yaml
    accelerate launch examples/train_fast.py examples/configs/sd15/fast.yaml --data my-pictures
"""

import sys
from pathlib import Path

import tyro

from byteedit.training.phases import FastSettings
from byteedit.training.run import train_fast
from byteedit.training.settings import read

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(f"{__doc__}\nName a preset first.")
    train_fast(tyro.cli(FastSettings, default=read(FastSettings, Path(sys.argv[1])), args=sys.argv[2:]))
