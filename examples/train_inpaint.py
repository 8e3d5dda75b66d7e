"""Fine-tune an inpainting model on pictures with captions, under the paper's kinds of mask (D_train): no rewards yet.

The settings are a preset's, and the command line's where it says otherwise (`--help` after the preset lists them). A
run that was killed goes on where it was. For several processes, `accelerate launch` instead of `python`:

    python examples/train_inpaint.py examples/configs/picturebook/inpaint.yaml
    accelerate launch examples/train_inpaint.py examples/configs/sd15/inpaint.yaml --data my-pictures
"""

import sys
from pathlib import Path

import tyro

from byteedit.training.run import train_inpaint
from byteedit.training.settings import read
from byteedit.training.sft import InpaintSettings

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(f"{__doc__}\nName a preset first.")
    train_inpaint(tyro.cli(InpaintSettings, default=read(InpaintSettings, Path(sys.argv[1])), args=sys.argv[2:]))
