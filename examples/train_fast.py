"""Tune an inpainting model on rewards and a discriminator for fewer and fewer steps, without guidance: 20, 8, 4.

The settings are a preset's, and the command line's where it says otherwise (`--help` after the preset lists them). A
run that was killed goes on where it was. For several processes, `accelerate launch` instead of `python`:

    python examples/train_fast.py examples/configs/picturebook/fast.yaml
    accelerate launch examples/train_fast.py examples/configs/sd15/fast.yaml --data my-pictures
"""

from byteedit.training.phases import FastSettings
from byteedit.training.run import train_fast
from byteedit.training.settings import from_command_line

if __name__ == "__main__":
    train_fast(from_command_line(FastSettings, __doc__))
