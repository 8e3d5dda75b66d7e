"""Tune an inpainting model on rewards: perceptual feedback learning, so that people prefer what it makes.

The settings are a preset's, and the command line's where it says otherwise (`--help` after the preset lists them). A
run that was killed goes on where it was. For several processes, `accelerate launch` instead of `python`:

    python examples/train_pefl.py examples/configs/picturebook/pefl.yaml
    accelerate launch examples/train_pefl.py examples/configs/sd15/pefl.yaml --data my-pictures
"""

from byteedit.training.boost import PeflSettings
from byteedit.training.run import train_pefl
from byteedit.training.settings import from_command_line

if __name__ == "__main__":
    train_pefl(from_command_line(PeflSettings, __doc__))
